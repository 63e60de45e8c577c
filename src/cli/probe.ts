// Run by `blip2 doctor` as a process of its own, so that whatever loading does can be reported: prints what the addon says, as JSON.
import { cuda } from '../native/cuda.ts';

/** What `doctor` learns from a process that loads the addon. */
export interface Probe {
  /** Why loading failed; the rest is missing then. */
  problem?: string;
  directory?: string;
  builtFor?: string;
  capability?: string;
  threads?: number;
  deviceCount?: number;
  /** What kept CUDA away, where something did. */
  cudaReason?: string | undefined;
}

async function probe(): Promise<Probe> {
  try {
    const { addon, libtorch } = await import('../native/load.ts');
    const result: Probe = {
      directory: libtorch.directory,
      builtFor: addon.builtFor,
      capability: addon.cpuCapability(),
      threads: addon.threads(),
      deviceCount: addon.deviceCount(),
      cudaReason: cuda.reason,
    };
    if (cuda.open === true && result.deviceCount === 0) {
      const { zeros } = await import('../tensor/index.ts');
      try {
        zeros([1], { device: 'cuda' });
      } catch (error) {
        result.cudaReason = error instanceof Error ? error.message : String(error);
      }
    }
    return result;
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

process.stdout.write(`${JSON.stringify(await probe())}\n`);
