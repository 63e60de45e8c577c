import { type Device, empty, fromTypedArray, keep, scope, type Tensor, wrapTypedArray } from '../../tensor/index.ts';
import type { Sample } from '../datasets/sample.ts';
import { normalise } from '../images/normalise.ts';
import { hash53 } from '../random.ts';
import type { ImageTransform } from '../transforms.ts';

/** Pictures and captions for a step. The tensors are the caller's: `dispose()` when done with them. */
export class Batch {
  /** `[B, 3, S, S]`, float32. */
  readonly pixelValues: Tensor;
  /** One a picture, cleaned up. */
  readonly captions: readonly string[];
  /** All captions of each picture, where the data set was opened with `grouped`; else the one. */
  readonly allCaptions: readonly (readonly string[])[];
  /** `[B]`, int64: equal where pictures are the same. Numbers are as the data set has them, strings become negative ones. */
  readonly imageIds: Tensor;
  /** The samples' names. */
  readonly keys: readonly string[];
  /** How long the caller waited for this batch, in milliseconds. */
  readonly waited: number;

  /** @internal A loader makes them. */
  constructor(tensors: { pixelValues: Tensor; imageIds: Tensor }, samples: readonly Sample[], waited: number) {
    this.pixelValues = tensors.pixelValues;
    this.imageIds = tensors.imageIds;
    this.allCaptions = samples.map(({ captions }) => captions);
    this.captions = this.allCaptions.map(([first = '']) => first);
    this.keys = samples.map(({ key }) => key);
    this.waited = waited;
  }

  /** How many pictures there are. */
  get size(): number {
    return this.keys.length;
  }

  /** Frees the tensors. */
  dispose(): void {
    this.pixelValues.dispose();
    this.imageIds.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A picture that goes into a batch. */
export interface Picture {
  readonly sample: Sample;
  readonly pixels: Uint8Array;
  readonly mirrored: boolean;
}

/** Makes batches' tensors. Bytes become floats, on `device`, only here: until then a picture takes a quarter of the memory. */
export class Collator {
  readonly #transform: ImageTransform;
  readonly #device: Device;
  // Kept from batch to batch: fresh memory is slower to write than memory that is there.
  readonly #bytes: Uint8Array;
  readonly #rows: Tensor;
  readonly #planes: Tensor;

  constructor(batchSize: number, transform: ImageTransform, device: Device) {
    const { size } = transform;
    this.#transform = transform;
    this.#device = device;
    this.#bytes = new Uint8Array(batchSize * size * size * 3);
    this.#rows = keep(wrapTypedArray(this.#bytes, [batchSize, size, size, 3]));
    this.#planes = keep(empty([batchSize, 3, size, size], { dtype: 'uint8', device }));
  }

  /** `pixelValues` and `imageIds` of at most a batch of pictures. */
  collate(pictures: readonly Picture[]): { pixelValues: Tensor; imageIds: Tensor } {
    const count = pictures.length;
    for (const [i, { pixels }] of pictures.entries()) this.#bytes.set(pixels, i * pixels.length);
    return scope(() => {
      const planes = this.#planes.narrow(0, 0, count);
      planes.copy_(this.#rows.narrow(0, 0, count).to({ device: this.#device }).permute(0, 3, 1, 2));
      for (const [i, { mirrored }] of pictures.entries()) {
        const plane = planes.select(0, i);
        if (mirrored) plane.copy_(plane.flip(-1));
      }
      const pixelValues = planes.to('float32');
      normalise(pixelValues, { ...this.#transform, doRescale: true, rescaleFactor: 1 / 255, doNormalize: true });
      const ids = BigInt64Array.from(pictures, ({ sample }) => BigInt(numberOf(sample.imageId)));
      return { pixelValues: keep(pixelValues), imageIds: keep(fromTypedArray(ids, [count], { device: this.#device })) };
    });
  }

  dispose(): void {
    this.#rows.dispose();
    this.#planes.dispose();
  }
}

/** A picture's id as a number: strings become negative ones, of 53 bits, so that they never meet those that are numbers. */
export function numberOf(imageId: number | string): number {
  return typeof imageId === 'number' ? imageId : -1 - hash53(imageId);
}
