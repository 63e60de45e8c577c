import { addon } from '../../src/native/load.ts';
import { wrap } from '../../src/tensor/base.ts';
import { dtypeCode } from '../../src/tensor/dtype.ts';
import { type Dtype, itemSize, type Tensor } from '../../src/tensor/index.ts';

/** A tensor of raw bytes, of any dtype. */
export function bytesToTensor(bytes: Uint8Array, shape: readonly number[], dtype: Dtype): Tensor {
  return wrap(addon.fromData(bytes, shape, dtypeCode(dtype)));
}

/** The bytes of a tensor's elements in row-major order, of any dtype. */
export function tensorToBytes(x: Tensor): Uint8Array {
  const out = new Uint8Array(x.numel * itemSize(x.dtype));
  addon.copyTo(x.handle, out);
  return out;
}
