import { cuda } from './cuda.ts';

/** What a native failure carries; see `native/errors.h`. */
interface NativeFailure extends Error {
  code?: string;
  operator?: string;
  call?: string;
  argument?: string;
  expected?: string;
  received?: string;
}

/** Every error that this package throws on purpose. `code` is stable, the message is for people. */
export class Blip2Error extends Error {
  override readonly name: string = 'Blip2Error';
  /** Stable, such as `ERR_ARGUMENT`; the message may change. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A wrong argument: which one, what was expected and what came. */
export class ArgumentError extends Blip2Error {
  override readonly name: string = 'ArgumentError';
  /** The parameter's name. */
  readonly argument: string;
  /** What would have been right. */
  readonly expected: string;
  /** What came, in words. */
  readonly received: string;
  /** The operator that was called, where there was one. */
  readonly operator: string | undefined;

  constructor(
    argument: string,
    expected: string,
    received: string,
    options: { operator?: string | undefined; code?: string; cause?: unknown } = {},
  ) {
    const where = options.operator === undefined ? '' : `${options.operator}: `;
    super(
      options.code ?? 'ERR_ARGUMENT',
      `${where}expected ${expected} for ${argument} but received ${received}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.argument = argument;
    this.expected = expected;
    this.received = received;
    this.operator = options.operator;
  }
}

/** A tensor was used after it had been disposed of, or after the scope that it was made in had ended. */
export class TensorFreedError extends ArgumentError {
  override readonly name: string = 'TensorFreedError';
}

/** libtorch refused an operator's arguments (shapes that do not fit, a dtype without a kernel, …). */
export class OperatorError extends Blip2Error {
  override readonly name: string = 'OperatorError';
  /** The operator's name, such as `add.Tensor`. */
  readonly operator: string;
  /** The call with the dtype and shape of what it was given. */
  readonly call: string | undefined;

  constructor(code: string, message: string, operator: string, call: string | undefined) {
    super(code, message);
    this.operator = operator;
    this.call = call;
  }
}

/** A tensor needs more memory than there is. */
export class OutOfMemoryError extends OperatorError {
  override readonly name: string = 'OutOfMemoryError';
}

/** The device asked for cannot be used here; the message says why. */
export class DeviceError extends Blip2Error {
  override readonly name: string = 'DeviceError';
}

/** libtorch or the addon is not there, or the two do not fit; the message lists what was tried and what to do. */
export class SetupError extends Blip2Error {
  override readonly name: string = 'SetupError';

  constructor(message: string, options?: ErrorOptions) {
    super('ERR_SETUP', message, options);
  }
}

/** A file is missing, cut off, or not what it claims to be. */
export class FileError extends Blip2Error {
  override readonly name: string = 'FileError';
  /** Its path, as it was given. */
  readonly file: string;

  constructor(file: string, problem: string, options?: ErrorOptions) {
    super('ERR_FILE', `${String(file)}: ${problem}`, options);
    this.file = file;
  }
}

/** Makes the typed error of a failure that the addon threw; other errors pass unchanged. */
export function typedError(error: unknown): unknown {
  if (!(error instanceof Error) && !(typeof error === 'object' && error !== null && 'code' in error)) return error;
  const { code, operator, call, argument, expected, received, message } = error as NativeFailure;
  switch (code) {
    case 'ERR_ARGUMENT':
      return new ArgumentError(argument ?? 'the call', expected ?? 'something else', received ?? message, { operator });
    case 'ERR_FREED':
      return new TensorFreedError(argument ?? 'tensor', expected ?? 'a live tensor', received ?? 'a freed one', {
        operator,
        code,
      });
    case 'ERR_OUT_OF_MEMORY':
      return new OutOfMemoryError(code, message, operator ?? '', call);
    case 'ERR_DEVICE':
      return new DeviceError(code, withReason(message));
    case 'ERR_OPERATOR':
      return new OperatorError(code, message, operator ?? '', call);
    case 'ERR_FILE':
      return new FileError(received ?? 'file', `expected ${expected ?? 'a readable file'}`);
    default:
      return error;
  }
}

function withReason(words: string): string {
  // A lecture on linking C++ programs.
  const message = words.replace(/ PyTorch splits its backend into two shared libraries.*/, '');
  if (cuda.reason === undefined || !/CUDA|NVIDIA|accelerator/i.test(message)) return message;
  return `${message}\n  CUDA is not available: ${cuda.reason}; \`npx blip2 doctor\` says more`;
}
