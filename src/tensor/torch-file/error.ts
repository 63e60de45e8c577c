import { transferable } from '../../native/error-transfer.ts';
import { FileError } from '../../native/errors.ts';

/** A file of `torch.save`, or the index of several, is not what it claims to be, or asks for more than tensors and plain values. */
export class TorchFileError extends FileError {
  override readonly name: string = 'TorchFileError';
  /** Where in the file: `zip`, `pickle`, a storage, a tensor's name, `weight_map`. */
  readonly field: string;

  constructor(file: string, field: string, problem: string, options?: ErrorOptions) {
    super(file, `${field}: ${problem}`, options);
    this.field = field;
  }
}

transferable(TorchFileError);
