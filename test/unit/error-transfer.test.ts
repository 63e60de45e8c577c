import * as library from '../../src/index.ts';
import { packError, unpackError } from '../../src/native/error-transfer.ts';

const {
  ArgumentError,
  Blip2Error,
  BrokenSamplesError,
  DeviceError,
  FileError,
  HubError,
  ImageError,
  NonFiniteError,
  RunHeldError,
  OperatorError,
  OutOfMemoryError,
  SafetensorsError,
  SetupError,
  StateDictError,
  TarError,
  TensorFreedError,
  TorchFileError,
  WorkerError,
} = library;

const made: Error[] = [
  new ArgumentError('x', 'a', 'b', { operator: 'add.Tensor' }),
  new TensorFreedError('x', 'a', 'b'),
  new OperatorError('ERR_OPERATOR', 'm', 'add.Tensor', 'add()'),
  new OutOfMemoryError('ERR_OUT_OF_MEMORY', 'm', 'add.Tensor', undefined),
  new DeviceError('ERR_DEVICE', 'm'),
  new SetupError('m'),
  new FileError('a.json', 'is none'),
  new HubError('ERR_HUB_ABSENT', 'owner/name', 'is none', { status: 404 }),
  new SafetensorsError('a.safetensors', 'a header', 'none'),
  new TorchFileError('a.pth', 'a pickle', 'none'),
  new ImageError('a.png', 'is none'),
  new TarError('a.tar', 'is none'),
  new StateDictError(['a.weight'], [], [], 'a.safetensors'),
  new BrokenSamplesError(1, 2, [{ key: 'a', problem: 'is none' }] as never),
  new RunHeldError('run', 7, 'elsewhere'),
  new NonFiniteError(3, { tensor: 'loss', foundIn: null }, null),
  new WorkerError('ERR_WORKER', 'died', { cause: new FileError('a', 'b', { cause: new TypeError('c') }) }),
  new Blip2Error('ERR_OTHER', 'm'),
  new TypeError('m'),
];

test('every class of errors that the library exports is among those below', () => {
  const classes = Object.values<unknown>(library).filter(
    (value): value is typeof Error => typeof value === 'function' && value.prototype instanceof Error,
  );
  expect(classes.length).toBeGreaterThan(15);
  expect(classes.filter((type) => !made.some((error) => error.constructor === type)).map(({ name }) => name)).toEqual([]);
});

test.each(made.map((error) => [error.name, error] as const))('%s keeps its class and fields between threads', (_name, error) => {
  const back = unpackError(structuredClone(packError(error)));
  expect(Object.getPrototypeOf(back)).toBe(Object.getPrototypeOf(error));
  expect(back.message).toBe(error.message);
  expect(back.stack).toBe(error.stack);
  expect(Object.entries(back)).toEqual(Object.entries(error).filter(([key, value]) => key !== 'name' && value !== undefined));
  if (error.cause !== undefined) expect(back.cause).toMatchObject({ name: 'FileError', file: 'a', cause: { name: 'TypeError' } });
});

test('what cannot be sent stays behind, and a ring of causes ends', () => {
  const error = Object.assign(new Error('a'), { call: () => 1, error: new Error('b'), big: 1n, list: [{ deep: [1] }] });
  error.cause = error;
  const back = unpackError(structuredClone(packError(error)));
  expect(Object.entries(back)).toEqual([['list', [{ deep: [1] }]]]);
  expect(back.cause).toBeInstanceOf(Error);
  expect(unpackError(structuredClone(packError('text'))).message).toBe('text');
});
