import path from 'node:path';
import { checkThere } from '../hub/place.ts';
import { anObject, aPath, checkArgument, checkKeys } from '../native/arguments.ts';
import { ArgumentError, FileError } from '../native/errors.ts';
import { shown } from '../native/fields.ts';
import { readJsonObject, writeFileAtomically } from '../native/files.ts';
import { writeFolder } from '../native/folders.ts';
import { building, type Module, type Parameter, StateDictError } from '../nn/index.ts';
import {
  type Device,
  type Dtype,
  empty,
  isFloatingPoint,
  openWeights,
  saveSafetensors,
  scope,
  type Tensor,
} from '../tensor/index.ts';
import type { JsonObject } from './fields.ts';

const CONFIG = 'config.json';
const WEIGHTS = 'model.safetensors';

/** Where weights go and as what. */
export interface LoadOptions {
  /** float32 unless told; `'auto'` is the one that config.json names. */
  dtype?: Dtype | 'auto';
  /** `'cpu'` unless told. */
  device?: Device;
  /**
   * Lays weights that are stored in the wanted dtype over the file's pages, on the CPU, instead of copying them: loading takes no time, a page
   * is read when it is first used, and processes share them. The file must not be written to as long as the model is there; replacing it
   * is harmless. False unless told.
   */
  mapped?: boolean;
}

/** @throws ArgumentError for what is no {@link LoadOptions} */
export function checkLoadOptions(options: LoadOptions): void {
  checkArgument('options', options, anObject);
  checkKeys('options', options, ['dtype', 'device', 'mapped']);
  checkLoadDtype(options.dtype);
}

/** How a model's checkpoints differ from its state dict. */
export interface CheckpointRules {
  /** Other names under which a file may have a tensor: the other name → the module's. */
  readonly aliases: { get(name: string): string | undefined };
  /** Names that files of old versions carry for nothing. */
  readonly ignored: RegExp;
  /** Parameters that a float16 load keeps in float32. */
  readonly float32: RegExp;
}

/**
 * Reads a folder's config.json by `parse`.
 * @throws FileError naming the file and the field that is not as expected
 */
export function readConfig<T>(directory: string, parse: (json: JsonObject) => T): T {
  if (typeof directory !== 'string' || directory === '')
    throw new ArgumentError('directory', "a folder's path", shown(directory));
  checkThere(directory);
  const file = path.join(directory, CONFIG);
  try {
    return parse(readJsonObject(file));
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    const { argument, expected, received } = error;
    throw new FileError(file, `expected ${expected} for ${argument} but received ${received}`, { cause: error });
  }
}

const DTYPES: readonly string[] = ['float32', 'float16', 'bfloat16', 'float64'] satisfies Dtype[];

/**
 * Checks the dtype that a caller asks for: one that a model can compute in.
 * @throws ArgumentError
 */
export function checkLoadDtype(dtype: Dtype | 'auto' | undefined): void {
  if (dtype === undefined || dtype === 'auto' || DTYPES.includes(dtype)) return;
  const received = typeof dtype === 'string' ? JSON.stringify(dtype) : typeof dtype;
  throw new ArgumentError('dtype', `${DTYPES.join(', ')} or auto`, received);
}

/** The dtype asked for; of `'auto'`, what config.json says. */
export function resolveDtype(dtype: Dtype | 'auto' | undefined, config: JsonObject): Dtype {
  if (dtype !== 'auto') return dtype ?? 'float32';
  const named = config.dtype ?? config.torch_dtype ?? 'float32';
  if (named === 'float32' || named === 'float16' || named === 'bfloat16' || named === 'float64') return named;
  throw new ArgumentError('dtype', 'float32, float16, bfloat16 or float64', JSON.stringify(named));
}

/**
 * Fills a module that was built on the meta device with the weights of a folder (or file), one parameter after the other, so that no more
 * than a chunk of the file is in memory beside them.
 * @throws StateDictError listing what is missing, unexpected or of another shape; FileError for a file that is none
 */
export function loadWeights(
  model: Module,
  source: string,
  rules: CheckpointRules,
  dtype: Dtype,
  { device = 'cpu', mapped = false }: Pick<LoadOptions, 'device' | 'mapped'> = {},
): void {
  const own = model.stateDict();
  const file = openWeights(source);
  try {
    const places = new Map<string, string>(); // name in the file → the module's
    const unexpected: string[] = [];
    const mismatched: string[] = [];
    for (const name of file.names) {
      const alias = rules.aliases.get(name);
      const target = own.has(name) ? name : alias !== undefined && !file.has(alias) ? alias : undefined;
      const shape = target === undefined ? undefined : own.get(target)?.shape;
      if (target === undefined || shape === undefined) {
        if (alias === undefined && !rules.ignored.test(name)) unexpected.push(name);
        continue;
      }
      const stored = file.info(name).shape;
      if (stored.join() !== shape.join()) mismatched.push(`${name} [${stored.join(', ')}] for [${shape.join(', ')}]`);
      places.set(name, target);
    }
    const found = new Set(places.values());
    const missing = [...own.keys()].filter((name) => !found.has(name));
    if (missing.length + unexpected.length + mismatched.length > 0) {
      throw new StateDictError(missing, unexpected, mismatched, file.path);
    }
    for (const [name, target] of places) {
      const parameter = own.get(target) as Parameter;
      const wanted = dtype === 'float16' && rules.float32.test(target) ? 'float32' : dtype;
      if (mapped && device === 'cpu' && file.info(name).dtype === wanted) {
        scope(() => parameter.setData(file.get(name)));
        continue;
      }
      scope(() =>
        parameter.setData(empty(parameter.shape, { dtype: isFloatingPoint(parameter.dtype) ? wanted : parameter.dtype, device })),
      );
      file.copyInto(name, parameter);
    }
  } finally {
    file.close();
  }
}

/** How a class of models is made of a folder. */
export interface Pretrained<C, M extends Module> {
  /** Reads config.json; what is not as expected is an ArgumentError. */
  parse(json: JsonObject): C;
  /** The configuration, where the weights of the folder tell more than config.json. */
  complete?(config: C, directory: string): C;
  build(config: C): M;
  rules(config: C, model: M): CheckpointRules;
}

/**
 * Reads a folder: config.json, then the weights, straight into the wanted dtype and onto the device. The model is in evaluation mode.
 * @throws FileError for a file that is missing or not as expected; StateDictError where weights and configuration do not fit
 */
export function loadPretrained<C, M extends Module>(directory: string, options: LoadOptions, how: Pretrained<C, M>): M {
  checkLoadOptions(options); // the caller's mistake, so it does not name the file
  const [parsed, dtype] = readConfig(directory, (json) => [how.parse(json), resolveDtype(options.dtype, json)] as const);
  const config = how.complete?.(parsed, directory) ?? parsed;
  const model = building({ device: 'meta', dtype: 'float32' }, () => how.build(config));
  loadWeights(model, directory, how.rules(config, model), dtype, options);
  return model.eval();
}

/** Options of `savePretrained`. */
export interface SavePretrainedOptions {
  /** Splits the weights into files of at most so many bytes; one file unless told. */
  maxShardBytes?: number;
}

/** Options of {@link saveCheckpoint}. */
interface SaveCheckpointOptions extends SavePretrainedOptions {
  /** Safetensors files by name, beside the weights. */
  beside?: Readonly<Record<string, ReadonlyMap<string, Tensor>>>;
}

/**
 * Writes weights and JSON files (by name) into a folder, which is made where there is none, as {@link writeFolder} does: the old model, the new one,
 * or, where the process is killed in between, none that anything reads; never a part of each. What an earlier save left of another model, or in
 * other files, goes.
 * @throws FileError
 */
export function saveCheckpoint(
  model: Module,
  directory: string,
  files: Readonly<Record<string, JsonObject>>,
  options: SaveCheckpointOptions = {},
): void {
  checkArgument('directory', directory, aPath);
  checkArgument('options', options, anObject);
  const { maxShardBytes = Number.POSITIVE_INFINITY, beside = {} } = options;
  writeModelFolder(directory, (folder) => {
    for (const [name, json] of Object.entries(files)) writeFileAtomically(path.join(folder, name), formatConfig(json));
    for (const [name, tensors] of Object.entries(beside)) saveSafetensors(path.join(folder, name), tensors);
    saveSafetensors(path.join(folder, WEIGHTS), model.stateDict(), { maxShardBytes });
  });
}

/** Writes a model and what else belongs to it in the same way. */
export function writeModelFolder(directory: string, write: (folder: string) => void): void {
  writeFolder(directory, { key: CONFIG, outdated: isOfModel, write });
}

/** Whether `savePretrained` of some model writes a file of this name. */
function isOfModel(name: string): boolean {
  return /^(?:(?:generation_)?config\.json|model(?:-\d{5}-of-\d{5})?\.safetensors(?:\.index\.json)?|pretraining\.(?:json|safetensors))$/.test(
    name,
  );
}

/** Fields that Hugging Face refuses to read where they are written as whole numbers. */
const FLOATS = /"(\w+_(?:eps|epsilon|factor|range|std|theta))": (-?\d+)(?=,?\n)/g;

/** The text of a configuration file. */
export function formatConfig(json: JsonObject): string {
  return `${JSON.stringify(json, null, 2)}\n`.replace(FLOATS, '"$1": $2.0');
}
