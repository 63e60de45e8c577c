import { anObject, checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { shown } from '../../native/fields.ts';
import { type Module, StateDictError } from '../../nn/index.ts';
import { openWeights, type SaveOptions, saveSafetensors, scope, type Tensor, type TensorFile } from '../../tensor/index.ts';
import { type NamedTensor, type Origin, prepareTransfer, type TransferReport } from '../transfer.ts';
import { ClipVisionModel } from '../vision/clip/model.ts';
import { CLIP_HEAD, clipOrigin, toClip } from '../vision/clip/weights.ts';
import { VisionModel } from '../vision/eva/model.ts';
import { EVA_HEAD, evaOrigin, toEva } from '../vision/eva/weights.ts';
import { languageKinds, type TextConfig, unnamedKind } from './language/kinds.ts';
import { lavisNames } from './lavis-names.ts';
import { Blip2ForConditionalGeneration } from './model.ts';

const TOWER = 'vision_model.';
const LAST_NORM = /^(?:vision_model\.post_layernorm|ln_vision)\./;

/** What LAVIS's files carry besides weights: buffers, tensors that are tied to others, and the state of the training. */
const IGNORED =
  /^(?:Qformer\.bert\.embeddings\.position_ids|Qformer\.cls\.predictions\.decoder\.(?:weight|bias)|(?:optimizer|scaler)\..*)$/;

/** Where a file has the vision tower, and which. */
interface Tower {
  readonly prefix: string;
  readonly clip: boolean;
}

/** Options of {@link loadLavis}. */
export interface LoadLavisOptions {
  /** Takes what fits and reports the rest: parts that were frozen are not in LAVIS's checkpoints, and other stages have other parts. */
  partial?: boolean;
}

/**
 * Copies weights under LAVIS's names into a model of ours: a checkpoint of LAVIS's (`{"model": …}`, first or second stage, `.pth`), the
 * vision encoder's own file (`eva_vit_g.pth`, CLIP ViT-L's), or a safetensors file with such names. The position table is resized to the
 * model's picture size, as LAVIS does: bicubic, with aligned corners for CLIP. Blocks and heads of an encoder beyond the model's are
 * passed over.
 *
 * @param model any model with our names: `Blip2ForPretraining`, `Blip2ForImageTextRetrieval`, `Blip2ForConditionalGeneration`,
 * `VisionModel`, `ClipVisionModel`
 * @returns parameters that keep their values, and names that the model has no use for; both empty unless `partial`
 * @throws StateDictError listing what does not fit, before anything is changed; FileError for a file that is none
 */
export function loadLavis(model: Module, source: string, options: LoadLavisOptions = {}): TransferReport {
  const file = openWeights(source);
  try {
    const root = file.names.some((name) => name.startsWith('model.')) ? 'model.' : '';
    const tower = findTower(file, root);
    const transfer = prepareTransfer(file, model, (name) => {
      const origin = originOf(inWholeModel(model, name), tower, (theirs) => file.has(root + theirs));
      return origin && { ...origin, from: origin.from.map((theirs) => root + theirs) };
    });
    const blocks = blocksOf(model);
    const isKnown = (name: string): boolean => IGNORED.test(name) || (tower !== undefined && isBeyond(name, tower, blocks));
    const unexpected = transfer.unexpected
      .map((name) => (name.startsWith(root) ? name.slice(root.length) : name))
      .filter((name) => !isKnown(name));
    const { missing } = transfer;
    if (!options.partial && missing.length + unexpected.length > 0) throw new StateDictError(missing, unexpected, [], file.path);
    transfer.run();
    return { missing, unexpected };
  } finally {
    file.close();
  }
}

function findTower(file: TensorFile, root: string): Tower | undefined {
  for (const prefix of ['visual_encoder.', 'visual.', '']) {
    if (file.has(`${root}${prefix}conv1.weight`)) return { prefix, clip: true };
    if (file.has(`${root}${prefix}cls_token`)) return { prefix, clip: false };
  }
  return undefined;
}

/** A tower alone has the names that it has within a model, without what goes before. */
function inWholeModel(model: Module, name: string): string {
  return model instanceof VisionModel || model instanceof ClipVisionModel ? TOWER + name : name;
}

function originOf(name: string, tower: Tower | undefined, has: (theirs: string) => boolean): Origin | undefined {
  if (LAST_NORM.test(name)) return { from: [name.replace(LAST_NORM, 'ln_vision.')] };
  if (name.startsWith(TOWER)) {
    if (tower === undefined) return undefined;
    const origin = (tower.clip ? clipOrigin : evaOrigin)(name.slice(TOWER.length));
    return origin && { ...origin, from: origin.from.map((theirs) => tower.prefix + theirs) };
  }
  const theirs = lavisNames(name);
  const from = theirs.find(has) ?? theirs[0];
  return from === undefined ? undefined : { from: [from] };
}

function blocksOf(model: Module): number {
  const blocks = [...model.stateDict().keys()].map((name) =>
    /^vision_model\.encoder\.layers\.(\d+)\./.exec(inWholeModel(model, name)),
  );
  return Math.max(-1, ...blocks.map((match) => Number(match?.[1] ?? -1))) + 1;
}

/** Whether a name is of a block or head of the tower beyond those that the model runs. */
function isBeyond(name: string, { prefix, clip }: Tower, blocks: number): boolean {
  if (!name.startsWith(prefix)) return false;
  const own = name.slice(prefix.length);
  const block = /^(?:blocks|transformer\.resblocks)\.(\d+)\./.exec(own)?.[1];
  return block === undefined ? (clip ? CLIP_HEAD : EVA_HEAD).test(own) : blocks > 0 && Number(block) >= blocks;
}

/** Options of {@link saveLavis}. */
export interface SaveLavisOptions extends Pick<SaveOptions, 'maxShardBytes'> {
  /** Also writes parameters that ask for no gradient, which LAVIS leaves out of its checkpoints. */
  frozen?: boolean;
  /**
   * The kind of language model that the projection leads to, after which LAVIS names it: a whole model's own, else `'opt'`, unless told. A model of the
   * second stage alone does not say it.
   */
  languageModel?: TextConfig['modelType'];
}

/**
 * Writes a model's weights under LAVIS's names, in safetensors: `load_state_dict(load_file(path), strict=False)` reads them there.
 * @throws ArgumentError for a model with parameters that LAVIS has not; FileError where the file cannot be written
 */
export function saveLavis(model: Module, file: string, options: SaveLavisOptions = {}): void {
  checkArgument('model', model, having('namedParameters'));
  checkArgument('options', options, anObject);
  const own = model instanceof Blip2ForConditionalGeneration ? model.config.textConfig.modelType : unnamedKind;
  const { frozen = false, languageModel = own, ...saveOptions } = options;
  if (!languageKinds.includes(languageModel)) {
    throw new ArgumentError('options.languageModel', languageKinds.join(' or '), shown(languageModel));
  }
  const state = new Map([...model.namedParameters()].map(([name, value]) => [inWholeModel(model, name), value] as const));
  scope(() => {
    const named = [...state]
      .filter(([, value]) => frozen || value.requiresGrad)
      .flatMap(([name, value]) => lavisTensors(name, value.detach(), state, languageModel));
    saveSafetensors(file, new Map(named), saveOptions);
  });
}

function lavisTensors(
  name: string,
  value: Tensor,
  state: ReadonlyMap<string, Tensor>,
  languageModel: TextConfig['modelType'],
): readonly NamedTensor[] {
  if (LAST_NORM.test(name)) return [[name.replace(LAST_NORM, 'ln_vision.'), value]];
  if (name.startsWith(TOWER)) {
    const own = name.slice(TOWER.length);
    const clip = state.has(`${TOWER}pre_layrnorm.weight`);
    const pairs = clip ? toClip(own, value, (other) => state.get(TOWER + other)?.detach()) : toEva(own, value);
    if (pairs !== undefined) return pairs.map(([theirs, tensor]) => [`visual_encoder.${theirs}`, tensor]);
  }
  const [theirs] = lavisNames(name, [languageModel]);
  if (theirs === undefined) throw new ArgumentError('model', "a model whose parameters have LAVIS's names", name);
  return [[theirs, value]];
}
