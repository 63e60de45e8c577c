// M rows, K in, N out.
import { cpus } from 'node:os';
import { addon } from '../../native/load.ts';
import { handleOrNull, run, TensorBase } from '../base.ts';
import { operator } from '../dispatch.ts';
import { autocastDtype } from '../modes.ts';
import type { Tensor } from '../tensor.ts';

const LINEAR = operator('linear');

/** x·Wᵀ + b; x `[…, in]`, weight `[out, in]`, bias `[out]`. */
export function linear(x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  if (oneDnn !== null && suitsOneDnn(x, weight, bias)) {
    return run(oneDnn, x.handle, weight.handle, handleOrNull(bias, 'bias'), 'none', [], '');
  }
  return run(LINEAR, x?.handle, weight?.handle, handleOrNull(bias, 'bias'));
}

/**
 * On AMD's processors MKL, which PyTorch multiplies float32 matrices with, runs kernels of an older kind, and for few rows packs the
 * weights anew in every call. oneDNN, which PyTorch has too, takes about half of the time. `bench/linear.mjs` measures it.
 */
const oneDnn =
  process.arch === 'x64' && process.env.BLIP2_MKL !== 'fast' && cpus()[0]?.model.includes('AMD')
    ? operatorOrNull('mkldnn::_linear_pointwise')
    : null;

function operatorOrNull(name: string): number | null {
  try {
    return operator(name);
  } catch {
    return null; // libtorch can be built without oneDNN
  }
}

/** M·N·K from which oneDNN is the faster one: it takes longer to start. */
const LARGE = 2 ** 20;

/** Without gradients, which oneDNN's operator has none of. */
function suitsOneDnn(x: Tensor, weight: Tensor, bias: Tensor | null): boolean {
  const parts = bias === null ? [x, weight] : [x, weight, bias];
  if (!parts.every((part) => part instanceof TensorBase && part.handle !== 0) || weight.ndim !== 2 || x.ndim < 2) return false;
  const [out, width] = weight.shape as readonly [number, number];
  if (x.numel * out < LARGE || x.size(-1) !== width) return false;
  // What PyTorch would broadcast or refuse, oneDNN passes over or refuses in words of its own.
  if (bias !== null && (bias.ndim !== 1 || bias.size(0) !== out)) return false;
  const ordinary = parts.every(({ dtype, device }) => dtype === 'float32' && device === 'cpu');
  return ordinary && autocastDtype() === null && !addon.gradModeEnabled();
}
