import path from 'node:path';
import { checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError, FileError } from '../../native/errors.ts';
import { readJsonObject } from '../../native/files.ts';
import { building, type Parameter, StateDictError } from '../../nn/index.ts';
import { empty, openWeights, scope, type Tensor } from '../../tensor/index.ts';
import {
  checkLoadOptions,
  type LoadOptions,
  readConfig,
  resolveDtype,
  type SavePretrainedOptions,
  saveCheckpoint,
} from '../checkpoint.ts';
import { prepareTransfer } from '../transfer.ts';
import { VisionModel } from '../vision/eva/model.ts';
import { blip2ConfigToJson, parseBlip2Config } from './config.ts';
import type { Blip2ForPretraining } from './pretraining.ts';
import { type PretrainingConfig, parsePretrainingConfig, pretrainingConfigToJson } from './pretraining-config.ts';
import { Blip2ForImageTextRetrieval } from './retrieval.ts';

const CONFIG = 'pretraining.json';
const WEIGHTS = 'pretraining.safetensors';
/** What Hugging Face's model has no place for. */
const OWN = /^(?:cls\.|temp$)/;
const LAST_NORM = /^ln_vision\./;

/** Options of `Blip2ForPretraining.savePretrained`. */
export interface SavePretrainingOptions extends SavePretrainedOptions {
  /** The frozen tower; only EVA-CLIP's, as Hugging Face's BLIP-2 has no other. */
  visionModel: VisionModel;
}

/** The name under which Hugging Face's model has a parameter. */
function nameInWhole(name: string): string {
  return name.replace(LAST_NORM, 'vision_model.post_layernorm.');
}

/**
 * One model of what the first stage has trained and its frozen tower, which share their memory with it. The LayerNorm over the features takes
 * the place of the tower's last one; its eps is then the tower's.
 * @throws ArgumentError where the parts do not fit together
 */
export function assembleRetrieval(trained: Blip2ForPretraining, visionModel: VisionModel): Blip2ForImageTextRetrieval {
  checkArgument('trained', trained, having('config', 'namedParameters'));
  if (!(visionModel instanceof VisionModel)) {
    throw new ArgumentError('visionModel', "EVA-CLIP's tower, as Hugging Face's BLIP-2 has no other", 'another');
  }
  const { qformerConfig, numQueryTokens, imageTextHiddenSize, initializerRange } = trained.config;
  const { hiddenSize } = visionModel.config;
  if (hiddenSize !== qformerConfig.encoderHiddenSize) {
    const expected = `a tower of width ${qformerConfig.encoderHiddenSize}, as it was trained with,`;
    throw new ArgumentError('visionModel', expected, String(hiddenSize));
  }
  const config = {
    ...parseBlip2Config({}),
    visionConfig: visionModel.config,
    qformerConfig,
    numQueryTokens,
    imageTextHiddenSize,
    initializerRange,
  };
  const model = building({ device: 'meta' }, () => new Blip2ForImageTextRetrieval(config));
  const own = new Map<string, Parameter>();
  for (const [name, parameter] of visionModel.namedParameters()) own.set(`vision_model.${name}`, parameter);
  for (const [name, parameter] of trained.namedParameters()) own.set(nameInWhole(name), parameter);
  for (const [name, parameter] of model.namedParameters()) {
    scope(() => parameter.setData((own.get(name) as Tensor).detach()));
  }
  return model.eval();
}

/** See {@link Blip2ForPretraining.savePretrained}. */
export function savePretraining(trained: Blip2ForPretraining, directory: string, options: SavePretrainingOptions): void {
  checkArgument('options', options, having('visionModel'));
  const { visionModel, ...saving } = options;
  const model = assembleRetrieval(trained, visionModel);
  try {
    const header = { architectures: ['Blip2ForImageTextRetrieval'], dtype: trained.queryTokens.dtype };
    const files = {
      'config.json': { ...header, ...blip2ConfigToJson(model.config) },
      [CONFIG]: pretrainingConfigToJson(trained.config),
    };
    const rest = new Map([...trained.stateDict()].filter(([name]) => OWN.test(name)));
    saveCheckpoint(model, directory, files, { ...saving, beside: { [WEIGHTS]: rest } });
  } finally {
    model.dispose();
  }
}

/** See {@link Blip2ForPretraining.fromPretrained}. */
export function loadPretraining(
  directory: string,
  options: LoadOptions,
  build: (config: PretrainingConfig) => Blip2ForPretraining,
): Blip2ForPretraining {
  checkLoadOptions(options);
  const { device = 'cpu' } = options;
  const dtype = readConfig(directory, (json) => resolveDtype(options.dtype, json));
  const config = readOwnConfig(path.join(directory, CONFIG));
  const model = building({ device: 'meta', dtype: 'float32' }, () => build(config));
  // Every value comes from the files, so none is drawn.
  for (const parameter of model.parameters()) scope(() => parameter.setData(empty(parameter.shape, { dtype, device })));
  const whole = openWeights(directory);
  try {
    const rest = openWeights(path.join(directory, WEIGHTS));
    try {
      const transfer = prepareTransfer(whole, model, (name) => (OWN.test(name) ? undefined : { from: [nameInWhole(name)] }));
      const own = prepareTransfer(rest, model, (name) => (OWN.test(name) ? { from: [name] } : undefined));
      const missing = [...transfer.missing.filter((name) => !OWN.test(name)), ...own.missing.filter((name) => OWN.test(name))];
      const unexpected = [...transfer.unexpected.filter((name) => !name.startsWith('vision_model.')), ...own.unexpected];
      if (missing.length + unexpected.length > 0) throw new StateDictError(missing, unexpected, [], directory);
      transfer.run();
      own.run();
      return model.eval();
    } finally {
      rest.close();
    }
  } catch (error) {
    model.dispose();
    throw error;
  } finally {
    whole.close();
  }
}

function readOwnConfig(file: string): PretrainingConfig {
  try {
    return parsePretrainingConfig(readJsonObject(file));
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    const { argument, expected, received } = error;
    throw new FileError(file, `expected ${expected} for ${argument} but received ${received}`, { cause: error });
  }
}
