import { initNormal, Linear, Module, parseVisionConfig, scope, type Tensor, type VisionConfig, VisionModel } from 'blip2';
import { colourNames, placeNames, SIDE, sizeNames } from '../../emoji/scene.ts';
import { PATCH } from './pictures.ts';

/** The demo's vision tower: EVA's architecture, 0.9 million parameters. */
export function towerConfig(): VisionConfig {
  const width = 128;
  return parseVisionConfig({
    image_size: SIDE,
    patch_size: PATCH,
    hidden_size: width,
    intermediate_size: 4 * width,
    num_hidden_layers: 4,
    num_attention_heads: 4,
    // Layers that keep the size of what passes through them: smaller weights learn far more slowly here.
    initializer_range: width ** -0.5,
  });
}

/** Logits: of each patch `[B, P, C + 1]`, ground last, and of the whole picture `[B, …]`. */
export interface Readings {
  readonly patches: Tensor;
  readonly concept: Tensor;
  readonly colour: Tensor;
  readonly place: Tensor;
  readonly size: Tensor;
}

/** What the tower is trained as: a reader of what pictures show. The heads are of no use afterwards, but to look at what was learned. */
export class SceneReader extends Module {
  readonly visionModel: VisionModel;
  readonly patchHead: Linear;
  readonly conceptHead: Linear;
  readonly colourHead: Linear;
  readonly placeHead: Linear;
  readonly sizeHead: Linear;

  constructor(config: VisionConfig, concepts: number) {
    super();
    const head = (classes: number): Linear => new Linear(config.hiddenSize, classes, { init: initNormal(0.02) });
    this.visionModel = new VisionModel(config);
    this.patchHead = head(concepts + 1);
    this.conceptHead = head(concepts);
    this.colourHead = head(colourNames.length);
    this.placeHead = head(placeNames.length);
    this.sizeHead = head(sizeNames.length);
  }

  /** @param pictures normalised `[B, 3, 64, 64]` */
  forward(pictures: Tensor): Readings {
    return scope(() => {
      const { lastHiddenState } = this.visionModel.forward(pictures);
      const whole = lastHiddenState.select(1, 0);
      return {
        patches: this.patchHead.forward(lastHiddenState.narrow(1, 1, lastHiddenState.size(1) - 1)),
        concept: this.conceptHead.forward(whole),
        colour: this.colourHead.forward(whole),
        place: this.placeHead.forward(whole),
        size: this.sizeHead.forward(whole),
      };
    });
  }
}
