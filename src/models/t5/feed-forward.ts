import { activation, Dropout, initNormal, Linear, Module } from '../../nn/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import type { T5Config } from './config.ts';

// B batch, L length, D model width, F inner width

/** wo(act(wi x)), or, gated, wo(act(wi_0 x) ∘ wi_1 x); x `[B, L, D]` → `[B, L, D]`, in the dtype of `wo`. */
export type T5FeedForward = Module & { forward(x: Tensor): Tensor };

/** The feed-forward network that the configuration asks for. */
export function feedForward(config: T5Config): T5FeedForward {
  return config.isGatedAct ? new T5DenseGatedActDense(config) : new T5DenseActDense(config);
}

/** From the model's width to the inner one, or back. */
function dense(config: T5Config, inFeatures: number, outFeatures: number): Linear {
  return new Linear(inFeatures, outFeatures, { bias: false, init: initNormal(config.initializerFactor * inFeatures ** -0.5) });
}

class T5DenseActDense extends Module {
  readonly wi: Linear;
  readonly wo: Linear;
  readonly dropout: Dropout;
  readonly #act: (x: Tensor) => Tensor;

  constructor(config: T5Config) {
    super();
    this.wi = dense(config, config.dModel, config.dFf);
    this.wo = dense(config, config.dFf, config.dModel);
    this.dropout = new Dropout(config.dropoutRate);
    this.#act = activation(config.denseActFn);
  }

  forward(x: Tensor): Tensor {
    return out(this.wo, this.dropout.forward(this.#act(this.wi.forward(x))));
  }
}

class T5DenseGatedActDense extends Module {
  readonly wi_0: Linear;
  readonly wi_1: Linear;
  readonly wo: Linear;
  readonly dropout: Dropout;
  readonly #act: (x: Tensor) => Tensor;

  constructor(config: T5Config) {
    super();
    this.wi_0 = dense(config, config.dModel, config.dFf);
    this.wi_1 = dense(config, config.dModel, config.dFf);
    this.wo = dense(config, config.dFf, config.dModel);
    this.dropout = new Dropout(config.dropoutRate);
    this.#act = activation(config.denseActFn);
  }

  forward(x: Tensor): Tensor {
    const gated = this.#act(this.wi_0.forward(x)).mul(this.wi_1.forward(x));
    return out(this.wo, this.dropout.forward(gated));
  }
}

/** A float16 model has `wo` in float32: the sums of its products pass float16's range. */
function out(wo: Linear, x: Tensor): Tensor {
  return wo.forward(x.to(wo.weight.dtype));
}
