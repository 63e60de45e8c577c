import { transferable } from '../../native/error-transfer.ts';
import { FileError } from '../../native/errors.ts';

/** A safetensors file, or the index of several, is not what it claims to be. */
export class SafetensorsError extends FileError {
  override readonly name: string = 'SafetensorsError';
  /** Where in the file: a tensor's name, with `.dtype`, `.shape` or `.data_offsets`; `header`, `data`, `weight_map`. */
  readonly field: string;

  constructor(file: string, field: string, problem: string, options?: ErrorOptions) {
    super(file, `${field}: ${problem}`, options);
    this.field = field;
  }
}

transferable(SafetensorsError);
