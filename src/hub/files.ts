// Which of a repository's files a model needs. Names are looked for among these alone, so that no name of a server's decides on a path.
import { FileError } from '../native/errors.ts';
import { type Json, parseJson } from '../native/files.ts';

/** The file without which nothing reads a folder; it is put into a snapshot last. */
export const CONFIG = 'config.json';

const SMALL = [
  'generation_config.json',
  'preprocessor_config.json',
  'processor_config.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'pretraining.json',
] as const;

/** A tokenizer's files, in the order in which they are looked for. */
const TOKENIZERS = [['tokenizer.json'], ['vocab.json', 'merges.txt'], ['vocab.txt'], ['spiece.model']] as const;

/** Weights, in the order in which they are looked for; an index names the files that hold them. */
const WEIGHTS = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
] as const;

/** What a stage-1 export has beside the model. */
const BESIDE = 'pretraining.safetensors';

type Names = ReadonlySet<string>;

/** Configurations and the tokenizer: those that there are. */
export function smallFiles(names: Names): string[] {
  const tokenizer = TOKENIZERS.find((files) => files.every((name) => names.has(name))) ?? [];
  return [...SMALL.filter((name) => names.has(name)), ...tokenizer];
}

/** The file that holds the weights, or the index of those that do; undefined where there are none. */
export function weightsFile(names: Names): string | undefined {
  return WEIGHTS.find((name) => names.has(name));
}

/** The other files of the weights: those that an index names, and what belongs beside them. */
export function moreWeights(names: Names, file: string, read: (index: string) => Uint8Array): string[] {
  const parts = file.endsWith('.index.json') ? shardsOf(file, read(file)) : [];
  const absent = parts.find((part) => !names.has(part));
  if (absent !== undefined) throw new FileError(file, `names ${JSON.stringify(absent)}, which is not there`);
  return names.has(BESIDE) ? [...parts, BESIDE] : parts;
}

function shardsOf(file: string, bytes: Uint8Array): string[] {
  const { weight_map: map = null } = (parseJson(file, bytes) ?? {}) as { weight_map?: Json };
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new FileError(file, 'expected an object for weight_map');
  }
  const shards = [...new Set(Object.values(map))];
  for (const name of shards) {
    if (typeof name !== 'string' || !/^\w[\w.-]*\.(?:safetensors|bin)$/.test(name)) {
      throw new FileError(file, `expected plain names of files in weight_map but received ${JSON.stringify(name)}`);
    }
  }
  return shards as string[];
}

/** Whether a folder with these files has a model's configuration and, with it, all else that such a model is loaded with. */
export function isWhole(names: Names, read: (name: string) => Uint8Array, weights: boolean): boolean {
  if (!names.has(CONFIG)) return false;
  try {
    const { model_type: type } = (parseJson(CONFIG, read(CONFIG)) ?? {}) as { model_type?: Json };
    if (!/clip|vision/.test(String(type)) && !TOKENIZERS.some((files) => files.every((name) => names.has(name)))) return false;
    if (type === 'blip-2' && !names.has('preprocessor_config.json') && !names.has('processor_config.json')) return false;
    const file = weightsFile(names);
    if (!weights) return true;
    if (file === undefined) return false;
    moreWeights(names, file, read);
    return true;
  } catch (error) {
    if (error instanceof FileError) return false;
    throw error;
  }
}
