import { anObject, aPath, checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { building, StateDictError } from '../../nn/index.ts';
import { type Device, type Dtype, empty, noGrad, openWeights, scope } from '../../tensor/index.ts';
import { readConfig } from '../checkpoint.ts';
import { prepareTransfer } from '../transfer.ts';
import { type ClipVisionConfig, parseClipVisionConfig } from '../vision/clip/config.ts';
import { ClipVisionModel } from '../vision/clip/model.ts';
import { parseVisionConfig, type VisionConfig } from '../vision/eva/config.ts';
import { VisionModel } from '../vision/eva/model.ts';
import { loadLavis } from './lavis.ts';

/** What tells files with LAVIS's, EVA-CLIP's or OpenAI's names: the class token or the patches of a tower. */
const LAVIS_TOWER = /(^|\.)(cls_token|conv1\.weight)$/;
const LAST_NORM = /^post_layernorm\./;

/** The shape of a vision tower. */
export type VisionTowerConfig =
  | { readonly architecture: 'eva'; readonly config: VisionConfig }
  | { readonly architecture: 'clip'; readonly config: ClipVisionConfig };

/**
 * The shape of the tower whose Hugging Face folder this is: a CLIP (`clip`, `clip_vision_model`), or EVA-CLIP's in a BLIP-2 (`blip-2`) or
 * alone (`blip_2_vision_model`).
 * @throws FileError for a config.json that is missing, not as expected, or of another model
 */
export function readVisionTowerConfig(folder: string): VisionTowerConfig {
  return readConfig(folder, (json) => {
    switch (json.model_type) {
      case 'clip':
        return { architecture: 'clip', config: parseClipVisionConfig(json.vision_config ?? {}) };
      case 'clip_vision_model':
        return { architecture: 'clip', config: parseClipVisionConfig(json, '') };
      case 'blip-2':
        return { architecture: 'eva', config: parseVisionConfig(json.vision_config ?? {}) };
      case 'blip_2_vision_model':
        return { architecture: 'eva', config: parseVisionConfig(json, '') };
      default: {
        const received = JSON.stringify(json.model_type) ?? 'nothing';
        throw new ArgumentError('model_type', 'clip, clip_vision_model, blip-2 or blip_2_vision_model', received);
      }
    }
  });
}

/** Where a tower's weights go and as what. */
export interface LoadTowerOptions {
  /** float32 unless told. */
  dtype?: Dtype;
  /** `'cpu'` unless told. */
  device?: Device;
}

/**
 * A vision tower of a shape with the weights of a file or folder: EVA-CLIP's own (`eva_vit_g.pth`), OpenAI's CLIP, a checkpoint of LAVIS's with the
 * tower in it, or Hugging Face's names, alone or in a whole CLIP or BLIP-2. The tower is in evaluation mode. Its last LayerNorm, which the
 * first stage trains itself, need not be there.
 * @throws FileError for what holds no such tower; StateDictError where weights and shape do not fit
 */
export function loadVisionTower(
  shape: VisionTowerConfig,
  source: string,
  options: LoadTowerOptions = {},
): VisionModel | ClipVisionModel {
  checkArgument('shape', shape, having('architecture', 'config'));
  checkArgument('source', source, aPath);
  checkArgument('options', options, anObject);
  const { architecture, config } = shape;
  const { dtype = 'float32', device = 'cpu' } = options;
  const tower = building({ device: 'meta', dtype: 'float32' }, () =>
    architecture === 'eva' ? new VisionModel(config) : new ClipVisionModel(config),
  );
  // Every value comes from the file, so none is drawn.
  for (const parameter of tower.parameters()) scope(() => parameter.setData(empty(parameter.shape, { dtype, device })));
  const file = openWeights(source);
  let missing: readonly string[];
  try {
    if (file.names.some((name) => LAVIS_TOWER.test(name))) missing = loadLavis(tower, source, { partial: true }).missing;
    else {
      const transfer = prepareTransfer(file, tower, (name) => ({ from: [file.has(name) ? name : `vision_model.${name}`] }));
      transfer.run();
      missing = transfer.missing;
    }
  } finally {
    file.close();
  }
  const needed = missing.filter((name) => !LAST_NORM.test(name));
  if (needed.length > 0) throw new StateDictError(needed, [], [], source);
  if (tower instanceof VisionModel && missing.length > 0) {
    noGrad(() => {
      tower.postLayernorm.weight?.fill_(1);
      tower.postLayernorm.bias?.fill_(0);
    });
  }
  return tower.eval();
}
