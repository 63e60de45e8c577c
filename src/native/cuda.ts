import { existsSync } from 'node:fs';

/** Whether CUDA was made available, and if not, what kept it away. `open` is null while nobody has tried. */
export interface CudaState {
  open: boolean | null;
  reason: string | undefined;
}

/** This process's state, which the loader sets before the first question about CUDA. */
export const cuda: CudaState = { open: null, reason: undefined };

/**
 * What makes opening CUDA's libraries pointless on this host, or undefined. Opening them costs
 * 0.1 s and 280 MB.
 */
export function noDeviceReason(env: Readonly<Record<string, string | undefined>>): string | undefined {
  if (env.CUDA_VISIBLE_DEVICES === '' || env.CUDA_VISIBLE_DEVICES === '-1') return 'CUDA_VISIBLE_DEVICES hides every device';
  const traces = ['/dev/nvidiactl', '/dev/nvidia0', '/proc/driver/nvidia/version', '/dev/dxg'];
  if (traces.some((file) => existsSync(file))) return undefined;
  return 'this host has no NVIDIA device (no /dev/nvidia*, no /proc/driver/nvidia)';
}
