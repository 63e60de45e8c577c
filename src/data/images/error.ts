import { transferable } from '../../native/error-transfer.ts';
import { FileError } from '../../native/errors.ts';

/** A picture cannot be had from a file or from bytes: no picture, cut off, or larger than allowed. */
export class ImageError extends FileError {
  override readonly name: string = 'ImageError';
}

transferable(ImageError);
