import { openSafetensors, SAFETENSORS_NAMES } from './safetensors/open.ts';
import { locate } from './shards.ts';
import type { TensorFile } from './tensor-file.ts';
import { openTorchFile, TORCH_NAMES } from './torch-file/open.ts';

/**
 * Opens weights of either kind: what `openSafetensors` opens, or, by the file's name or where a folder has no safetensors, what
 * `openTorchFile` does.
 *
 * @throws FileError for a file that is missing or not what it should be
 */
export function openWeights(source: string): TensorFile {
  const file = locate(source, [...SAFETENSORS_NAMES, ...TORCH_NAMES]);
  const torch = /\.(?:pth|pt|ckpt|bin(?:\.index\.json)?)$/.test(file);
  return torch ? openTorchFile(file) : openSafetensors(file);
}
