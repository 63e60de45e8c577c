import { anObject, checkArgument, having } from '../../../native/arguments.ts';
import { ArgumentError } from '../../../native/errors.ts';
import { shown } from '../../../native/fields.ts';
import { openWeights, type TensorFile } from '../../../tensor/index.ts';
import { type CheckpointRules, type LoadOptions, loadPretrained, readConfig } from '../../checkpoint.ts';
import type { JsonObject } from '../../fields.ts';
import { checkAgreement } from './agreement.ts';
import { type LanguageModel, languageKind, languageKinds, type TextConfig, unnamedKind } from './kinds.ts';

/** How {@link loadLanguageModel} loads. */
export interface LanguageLoadOptions extends LoadOptions {
  /**
   * What the model is to be, such as a recipe's `languageModel`. T5's `denseActFn` goes before the folder's: LAVIS runs Flan-T5 with `'gelu'`, where its own
   * config.json means `'gelu_new'`. Any other field that changes the numbers must be the folder's. The folder's own unless told.
   */
  shape?: TextConfig | undefined;
}

/** Where a whole BLIP-2 has its language model. */
const WITHIN = 'language_model.';

/**
 * The shape of the language model whose Hugging Face folder this is, or of the one in a whole BLIP-2's.
 * @throws FileError for a config.json that is missing, not as expected, or of another model
 */
export function readLanguageConfig(folder: string): TextConfig {
  return readConfig(folder, parse);
}

/**
 * A language model with the weights of a Hugging Face folder: a plain OPT's or T5's (`OPTForCausalLM`, `OPTModel`,
 * `T5ForConditionalGeneration`), or a whole BLIP-2's, in safetensors or `.bin`, in one file or several. The weights go straight into the wanted
 * dtype and onto the device. The model is in evaluation mode; `freeze()` keeps it as it is.
 *
 * @throws FileError for a file that is missing, not as expected, or of another model or `shape`; StateDictError where weights and configuration do
 *   not fit; ArgumentError for a `shape` that is none
 * @example const opt = loadLanguageModel('opt-2.7b', { dtype: 'bfloat16' }).freeze();
 */
export function loadLanguageModel(folder: string, options: LanguageLoadOptions = {}): LanguageModel {
  checkArgument('options', options, anObject);
  const { shape, ...rest } = options;
  if (shape !== undefined) checkShape(shape);
  return loadPretrained(folder, rest, {
    parse: (json) => adapted(parse(json), shape),
    complete: completed,
    build: (config) => languageKind(config.modelType).build(config),
    rules: (config, model) => languageRules(config, new Set(model.stateDict().keys()), folder),
  });
}

function parse(json: JsonObject): TextConfig {
  const whole = json.model_type === 'blip-2';
  const own = (whole ? json.text_config : json) as JsonObject | undefined;
  const named = own?.model_type ?? (whole ? unnamedKind : undefined);
  const known = languageKinds.find((name) => name === named);
  if (known === undefined) {
    const field = whole ? 'text_config.model_type' : 'model_type';
    const expected = [...languageKinds, ...(whole ? [] : ['blip-2'])].join(' or ');
    throw new ArgumentError(field, expected, JSON.stringify(named) ?? 'nothing');
  }
  return languageKind(known).parseConfig(own ?? {}, whole ? 'text_config' : '');
}

/** What JavaScript gives may be a part of a shape, or none. */
function checkShape(shape: TextConfig): void {
  checkArgument('shape', shape, having('modelType'));
  const { modelType } = shape;
  if (!languageKinds.includes(modelType))
    throw new ArgumentError('shape.modelType', languageKinds.join(' or '), shown(modelType));
  const { parseConfig, configToJson } = languageKind(modelType);
  parseConfig(configToJson(shape), 'shape');
}

/** A folder's configuration, once it is the wanted one. */
function adapted(config: TextConfig, wanted: TextConfig | undefined): TextConfig {
  if (wanted === undefined) return config;
  const { adapt } = languageKind(config.modelType);
  const own = config.modelType === wanted.modelType && adapt !== undefined ? adapt(config, wanted) : config;
  checkAgreement(own, wanted);
  return own;
}

/** A configuration that also says what only a folder's weights show. */
export function completed(config: TextConfig, folder: string): TextConfig {
  const { complete } = languageKind(config.modelType);
  return complete === undefined ? config : withFile(folder, (file, prefix) => complete(config, file, prefix));
}

/** Reads in a folder's weights; `prefix` is what stands before the language model's names. */
function withFile<T>(folder: string, read: (file: TensorFile, prefix: string) => T): T {
  const file = openWeights(folder);
  try {
    return read(file, file.names.some((name) => name.startsWith(WITHIN)) ? WITHIN : '');
  } finally {
    file.close();
  }
}

/** The rules of a language model alone; of a whole BLIP-2, what else there is, is passed over. */
function languageRules(config: TextConfig, names: ReadonlySet<string>, folder: string): CheckpointRules {
  const { alias, float32, ignored } = languageKind(config.modelType);
  const prefix = withFile(folder, (_, found) => found);
  const ours = (name: string): string | undefined => {
    if (!name.startsWith(prefix)) return undefined;
    const own = name.slice(prefix.length);
    return names.has(own) ? own : alias(config, own);
  };
  return {
    aliases: { get: ours },
    ignored: prefix === '' ? ignored : new RegExp(`^(?!${prefix.replace('.', '\\.')})|${ignored.source}`),
    float32,
  };
}
