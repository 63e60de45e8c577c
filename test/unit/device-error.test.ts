import { cuda, noDeviceReason } from '../../src/native/cuda.ts';
import { DeviceError, typedError } from '../../src/native/errors.ts';
import { type Device, Generator, manualSeed, tensor, zeros } from '../../src/tensor/index.ts';

test('the loader has found out about CUDA before anybody can ask', () => {
  expect(cuda.open).not.toBeNull();
  expect(cuda.open).toBe(cuda.reason === undefined);
});

test('a device that cannot be used is a DeviceError that says why, in a few lines', () => {
  // No machine has all of these.
  const failures = ['cuda', 'mps', 'xpu'].flatMap((device) =>
    [() => zeros([1], { device: device as Device }).dispose(), () => new Generator(0, device as Device)].flatMap((use) => {
      try {
        use();
        return [];
      } catch (error) {
        return [error as Error];
      }
    }),
  );
  expect(failures.length).toBeGreaterThanOrEqual(4);
  for (const failure of failures) {
    expect(failure).toBeInstanceOf(DeviceError);
    expect(failure.message.split('\n').length).toBeLessThanOrEqual(4);
    expect(failure.message).not.toMatch(/Facebook|registered at/);
  }
});

const withoutCuda = cuda.open === true ? test.skip : test;

withoutCuda('the error of CUDA repeats what kept it away', () => {
  for (const wrong of [
    () => zeros([1], { device: 'cuda' }),
    () => tensor([1]).to({ device: 'cuda:0' }),
    () => new Generator(0, 'cuda'),
    () => manualSeed(0, 'cuda'),
  ]) {
    expect(wrong).toThrow(DeviceError);
    expect(wrong).not.toThrow('splits its backend');
    expect(wrong).toThrow(`CUDA is not available: ${cuda.reason}`);
  }
});

test('other errors stay without it', () => {
  const failure = Object.assign(new Error('zeros: expects an int'), { code: 'ERR_OPERATOR', operator: 'zeros' });
  expect((typedError(failure) as Error).message).toBe('zeros: expects an int');
});

test('hidden devices are a reason, whatever the host has', () => {
  expect(noDeviceReason({ CUDA_VISIBLE_DEVICES: '' })).toBe('CUDA_VISIBLE_DEVICES hides every device');
  expect(noDeviceReason({ CUDA_VISIBLE_DEVICES: '-1' })).toBe('CUDA_VISIBLE_DEVICES hides every device');
});
