import { checkArgument, having } from '../../native/arguments.ts';
import {
  type ActivationName,
  activation,
  initNormal,
  initZeros,
  LayerNorm,
  Linear,
  Module,
  type Parameter,
  parameter,
} from '../../nn/index.ts';
import { linear, type Tensor } from '../../tensor/index.ts';
import type { QFormerConfig } from './config.ts';

/** LN(act(dense(x))) */
class Transform extends Module {
  readonly dense: Linear;
  readonly LayerNorm: LayerNorm;
  readonly #act: (x: Tensor) => Tensor;

  constructor(size: number, act: ActivationName, eps: number, std: number) {
    super();
    this.dense = new Linear(size, size, { init: initNormal(std) });
    this.LayerNorm = new LayerNorm(size, { eps });
    this.#act = activation(act);
  }

  forward(x: Tensor): Tensor {
    return this.LayerNorm.forward(this.#act(this.dense.forward(x)));
  }
}

class Predictions extends Module {
  readonly transform: Transform;
  readonly bias: Parameter;

  constructor(config: QFormerConfig) {
    super();
    this.transform = new Transform(config.hiddenSize, config.hiddenAct, config.layerNormEps, config.initializerRange);
    this.bias = parameter([config.vocabSize], initZeros);
  }
}

/** BERT's language-model head, whose output table is the word embedding: keys `predictions.…`, as LAVIS's `Qformer.cls`. */
export class QFormerLmHead extends Module {
  /** A dense layer, activation and LayerNorm over D, and a bias `[V]` for the logits. */
  readonly predictions: Predictions;

  constructor(config: QFormerConfig) {
    super();
    checkArgument('config', config, having('hiddenSize'));
    this.predictions = new Predictions(config);
  }

  /** Hidden states `[B, L, D]` and the table of words `[V, D]` → logits `[B, L, V]`. */
  forward(x: Tensor, words: Tensor): Tensor {
    return linear(this.predictions.transform.forward(x), words, this.predictions.bias);
  }
}
