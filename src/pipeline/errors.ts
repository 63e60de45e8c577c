import { type PackedError, packError, transferable, unpackError } from '../native/error-transfer.ts';
import { Blip2Error } from '../native/errors.ts';

export { type PackedError, packError, unpackError };

/** The worker that holds a model has ended: it was closed, it died, or the model could not be loaded in it. */
export class WorkerError extends Blip2Error {
  override readonly name: string = 'WorkerError';

  /** @internal */
  constructor(code: 'ERR_CLOSED' | 'ERR_WORKER', message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

transferable(WorkerError);
