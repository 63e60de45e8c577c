// B pictures, N image tokens, W width of the features.

import { createHash } from 'node:crypto';
import { checkNormalised } from '../models/vision/pixels.ts';
import { checkArgument, having } from '../native/arguments.ts';
import type { Module } from '../nn/index.ts';
import { type Device, type Dtype, noGrad, scope, type Tensor } from '../tensor/index.ts';

/** A vision tower that can give its features before any last LayerNorm. */
export interface FeatureTower extends Module {
  /** Normalised pictures `[B, 3, H, W]` → `[B, N, W]`. */
  features(pixelValues: Tensor): Tensor;
}

/**
 * A vision tower that is not trained: in evaluation mode, without gradients, in a number format of its own. It is no part of any model, so
 * that nothing that is done to one (`train()`, saving, an optimizer) reaches it.
 */
export class FrozenEncoder {
  readonly #tower: FeatureTower;
  /** The number format of weights and features. */
  readonly dtype: Dtype;

  /**
   * @param tower becomes the encoder's own: it is frozen, put into evaluation mode and cast
   * @param dtype float32 unless told; bfloat16 is the faster one where the hardware has products of it (CUDA; processors with AMX)
   */
  constructor(tower: FeatureTower, dtype: 'float32' | 'bfloat16' = 'float32') {
    checkArgument('tower', tower, having('features', 'freeze'));
    this.#tower = tower;
    this.dtype = dtype;
    tower.freeze().eval().to(dtype);
  }

  /** Where it works. */
  get device(): Device {
    return this.#tower.parameters()[0]?.device ?? 'cpu';
  }

  /** Normalised pictures `[B, 3, H, W]` → features before the LayerNorm that is trained, `[B, N, W]`. */
  encode(pixelValues: Tensor): Tensor {
    checkNormalised(pixelValues);
    return noGrad(() => scope(() => this.#tower.features(pixelValues.to({ device: this.device, dtype: this.dtype }))));
  }

  /** SHA-256 over names, shapes and values of all weights, in hexadecimal. Reads them all. */
  fingerprint(): string {
    const hash = createHash('sha256');
    for (const [name, tensor] of this.#tower.stateDict()) {
      hash.update(JSON.stringify([name, tensor.dtype, tensor.shape]));
      scope(() => hash.update(new Uint8Array(bytesOf(tensor))));
    }
    return hash.digest('hex');
  }

  /** Frees the tower. */
  dispose(): void {
    this.#tower.dispose();
  }
}

function bytesOf(tensor: Tensor): ArrayBuffer {
  return tensor.detach().data().buffer as ArrayBuffer;
}
