import { ArgumentError } from '../native/errors.ts';
import { detachedHandle } from '../tensor/base.ts';
import { Tensor } from '../tensor/index.ts';
import { outlive } from '../tensor/lifetime.ts';

/** A handle of the same storage, outside any graph. */
function handleOf(data: Tensor): number {
  if (!(data instanceof Tensor)) throw new ArgumentError('data', 'a tensor', data === null ? 'null' : typeof data);
  return detachedHandle(data);
}

/** A tensor that a module learns. It belongs to its module: no scope frees it, `Module.dispose` does. */
export class Parameter extends Tensor {
  /** Shares `data`'s storage. */
  constructor(data: Tensor, requiresGrad = true) {
    super(handleOf(data));
    outlive(this);
    if (requiresGrad) this.requiresGrad_();
  }

  /** As PyTorch prints it. */
  override toString(): string {
    return `Parameter containing:\n${super.toString()}`;
  }
}

/** A tensor that a module carries without learning it; part of its state dict. */
export class ModuleBuffer extends Tensor {
  /** Shares `data`'s storage. */
  constructor(data: Tensor) {
    super(handleOf(data));
    outlive(this);
  }
}
