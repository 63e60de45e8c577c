import { addon } from '../native/load.ts';
import type { Device } from './base.ts';
import { native } from './dispatch.ts';

/** Threads that an operator may use on the CPU. */
export function threads(): number {
  return addon.threads();
}
/** Sets how many CPU threads one operator may use. @throws ArgumentError unless `count` is 1 to 4096. */
export function setThreads(count: number): void {
  native(() => addon.setThreads(count));
}

/** How many accelerators (CUDA devices) can be used. */
export function deviceCount(): number {
  return native(() => addon.deviceCount());
}

/** Waits until a device has done all that it was given. */
export function synchronize(device: Device): void {
  native(() => addon.synchronize(device));
}

/** Bytes of an accelerator's caching allocator. */
export function deviceMemory(device: Device): { allocated: number; reserved: number; peak: number } {
  const [allocated, reserved, peak] = native(() => addon.deviceMemory(device));
  return { allocated, reserved, peak };
}

/** Gives cached memory of the accelerator back to its driver. */
export function emptyCache(): void {
  native(() => addon.emptyCache());
}

/**
 * Gives the system back the host's memory that was freed and that malloc keeps for later, where that is glibc's. It takes milliseconds a gigabyte: for
 * the end of what held a lot.
 * @internal
 */
export function trimMemory(): void {
  native(() => addon.trimMemory());
}
