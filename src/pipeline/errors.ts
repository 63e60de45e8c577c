import { BrokenSamplesError, ImageError, TarError } from '../data/index.ts';
import * as errors from '../native/errors.ts';
import { StateDictError } from '../nn/index.ts';
import { SafetensorsError, TorchFileError } from '../tensor/index.ts';

/** The worker that holds a model has ended: it was closed, it died, or the model could not be loaded in it. */
export class WorkerError extends errors.Blip2Error {
  override readonly name: string = 'WorkerError';

  constructor(code: 'ERR_CLOSED' | 'ERR_WORKER', message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** An error as it crosses between threads: structured clones keep no classes and no fields of their own. */
export interface PackedError {
  name: string;
  message: string;
  stack: string | undefined;
  fields: Record<string, unknown>;
}

export function packError(error: unknown): PackedError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), stack: undefined, fields: {} };
  const { name, message, stack } = error;
  const fields = Object.entries(error).filter(
    ([key, value]) => key !== 'name' && (['string', 'number', 'boolean'].includes(typeof value) || isStrings(value)),
  );
  return { name, message, stack, fields: Object.fromEntries(fields) };
}

const isStrings = (value: unknown): boolean => Array.isArray(value) && value.every((element) => typeof element === 'string');

/** Classes by the names that their instances carry. */
const CLASSES: ReadonlyMap<string, { prototype: Error }> = new Map(
  [
    errors.Blip2Error,
    errors.ArgumentError,
    errors.TensorFreedError,
    errors.OperatorError,
    errors.OutOfMemoryError,
    errors.DeviceError,
    errors.SetupError,
    errors.FileError,
    SafetensorsError,
    TorchFileError,
    ImageError,
    TarError,
    BrokenSamplesError,
    StateDictError,
    TypeError,
    RangeError,
  ].map((type) => [type.name, type]),
);

/** Gives an error its class back, so that `instanceof` holds on this side as it did on the other. */
export function unpackError(packed: PackedError): Error {
  const { name, message, stack, fields } = packed;
  const known = CLASSES.get(name) ?? (typeof fields.code === 'string' ? errors.Blip2Error : Error);
  const error = Object.create(known.prototype) as Error;
  const own = { message, stack, ...fields, name };
  for (const [key, value] of Object.entries(own)) {
    Object.defineProperty(error, key, {
      value,
      writable: true,
      configurable: true,
      enumerable: !['message', 'stack', 'name'].includes(key),
    });
  }
  return error;
}
