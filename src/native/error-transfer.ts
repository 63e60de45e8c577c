import * as errors from './errors.ts';

/** An error as it crosses between threads: structured clones keep no classes and no fields of their own. */
export interface PackedError {
  /** The name of its class. */
  name: string;
  /** What it says. */
  message: string;
  /** Where it was made. */
  stack: string | undefined;
  /** Its own fields, those that are plain data. */
  fields: Record<string, unknown>;
  /** What caused it; undefined where nothing is said. */
  cause: PackedError | undefined;
}

/** Classes by the names that their instances carry. */
const classes = new Map<string, { prototype: Error }>();

/**
 * Lets errors of a class keep it between threads. Every class of errors that the library throws says so beside its definition: those above
 * this floor are not known here.
 */
export function transferable(...types: readonly { readonly name: string; readonly prototype: Error }[]): void {
  for (const type of types) classes.set(type.name, type);
}

transferable(
  errors.Blip2Error,
  errors.ArgumentError,
  errors.TensorFreedError,
  errors.OperatorError,
  errors.OutOfMemoryError,
  errors.DeviceError,
  errors.SetupError,
  errors.FileError,
  TypeError,
  RangeError,
);

const DEEPEST = 8; // a chain of causes may be a ring

/** What can be posted of an error. */
export function packError(error: unknown, depth = 0): PackedError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), stack: undefined, fields: {}, cause: undefined };
  const { name, message, stack, cause } = error;
  const fields = Object.entries(error).filter(([key, value]) => key !== 'name' && key !== 'cause' && isPlain(value));
  return {
    name,
    message,
    stack,
    fields: Object.fromEntries(fields),
    cause: cause === undefined || depth >= DEEPEST ? undefined : packError(cause, depth + 1),
  };
}

function isPlain(value: unknown, depth = 0): boolean {
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return true;
  if (typeof value !== 'object' || depth >= DEEPEST) return false;
  const plain = Array.isArray(value) || Object.prototype.toString.call(value) === '[object Object]';
  return plain && !(value instanceof Error) && Object.values(value).every((inner) => isPlain(inner, depth + 1));
}

/** Gives an error its class back, so that `instanceof` holds on this side as it did on the other. */
export function unpackError(packed: PackedError): Error {
  const { name, message, stack, fields } = packed;
  const known = classes.get(name) ?? (typeof fields.code === 'string' ? errors.Blip2Error : Error);
  const error = Object.create(known.prototype) as Error;
  const cause = packed.cause === undefined ? {} : { cause: unpackError(packed.cause) };
  const own = { message, stack, ...cause, ...fields, name };
  for (const [key, value] of Object.entries(own)) {
    Object.defineProperty(error, key, {
      value,
      writable: true,
      configurable: true,
      enumerable: !['message', 'stack', 'name', 'cause'].includes(key),
    });
  }
  return error;
}
