import fs from 'node:fs';

/** What Linux says of the processors; nothing on other systems. */
export function cpuInfo(): string {
  try {
    return fs.readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return '';
  }
}

/** The processor's features by Linux's names for them; none where they are not known. */
export function cpuFeatures(info = cpuInfo()): ReadonlySet<string> {
  return new Set(/^flags\s*:\s*(.*)$/m.exec(info)?.[1]?.split(' '));
}

/**
 * Whether products in bfloat16 are faster than in float32: on CUDA, and on a processor with AMX or AVX-512 for it. Elsewhere libtorch has them, but
 * slowly; so it is where nothing is known of the processor.
 *
 * @param features of the processor
 */
export function hasFastBfloat16(device: string, features = cpuFeatures()): boolean {
  return device.startsWith('cuda') || features.has('amx_bf16') || features.has('avx512_bf16');
}
