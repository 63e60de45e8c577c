import { ArgumentError } from '../../native/errors.ts';
import { activation, initNormal, Linear, Module } from '../../nn/index.ts';
import { cat, scope, type Tensor } from '../../tensor/index.ts';
import { type KeyValue, merge, QFormerAttention, SublayerOutput } from './attention.ts';
import type { QFormerConfig } from './config.ts';
import { each, join, part, type Stream, select, type Wanted } from './stream.ts';

/** act(dense(x)) */
class Intermediate extends Module {
  readonly dense: Linear;
  readonly #act: (x: Tensor) => Tensor;

  constructor(config: QFormerConfig) {
    super();
    this.dense = new Linear(config.hiddenSize, config.intermediateSize, { init: initNormal(config.initializerRange) });
    this.#act = activation(config.hiddenAct);
  }

  forward(x: Tensor): Tensor {
    return this.#act(this.dense.forward(x));
  }
}

/** Keys and values of P pictures; each serves `share` rows that follow one another. */
export interface SharedKeyValue {
  readonly keyValue: KeyValue;
  readonly share: number;
}

/** What a layer works with besides its input. */
export interface LayerContext {
  /** Of the self-attention: added to the scores, broadcast to `[B, H, Lq, Lk]`. */
  readonly mask: Tensor | null;
  /** The picture's features `[B, N, encoder width]`, where their keys and values are not given. */
  readonly image?: Tensor | undefined;
  /** Together they serve every row, in order. */
  readonly pictures?: readonly SharedKeyValue[] | undefined;
  /** Puts the self-attention's keys and values at earlier positions in front of the pass's own. */
  readonly extend?: ((own: KeyValue) => KeyValue) | undefined;
  /** Whether to return the self-attention's keys and values. */
  readonly cache: boolean;
  readonly wanted: Wanted;
}

/** One layer: self-attention over queries and text, cross-attention of the queries in some layers, and a feed-forward block for each kind. */
export class QFormerLayer extends Module {
  readonly attention: QFormerAttention;
  readonly crossattention?: QFormerAttention;
  readonly intermediate?: Intermediate;
  readonly output?: SublayerOutput;
  readonly intermediateQuery: Intermediate;
  readonly outputQuery: SublayerOutput;

  constructor(config: QFormerConfig, index: number) {
    super();
    this.attention = new QFormerAttention(config);
    if (index % config.crossAttentionFrequency === 0) {
      this.crossattention = new QFormerAttention(config, config.encoderHiddenSize);
    }
    if (config.useQformerTextInput) {
      this.intermediate = new Intermediate(config);
      this.output = new SublayerOutput(config, config.intermediateSize);
    }
    this.intermediateQuery = new Intermediate(config);
    this.outputQuery = new SublayerOutput(config, config.intermediateSize);
  }

  /** A stream → the same, or what is wanted of it, and the self-attention's keys and values where they are asked for. */
  forward(stream: Stream, context: LayerContext): { stream: Stream; keyValue?: KeyValue } {
    return scope(() => {
      const { attention: heads, output } = this.attention;
      const project = (from: Stream, kind: 'query' | 'key' | 'value'): Tensor =>
        heads.split(join(each(from, (x) => heads[kind].forward(x))));
      const own = { key: project(stream, 'key'), value: project(stream, 'value') };
      const keyValue = context.extend === undefined ? own : context.extend(own);
      const asking = select(stream, context.wanted);
      const query = project(asking, 'query');
      const mixed = part(heads.attend(query, keyValue, rowsOf(context.mask, query.size(2))), asking);
      const attended = each(mixed, (x, kind) => output.forward(x, asking[kind] as Tensor));
      const out = each(attended, (x, kind) => (kind === 'queries' ? this.#queries(x, context) : this.#text(x)));
      return context.cache ? { stream: out, keyValue } : { stream: out };
    });
  }

  #queries(x: Tensor, context: LayerContext): Tensor {
    const informed = this.crossattention === undefined ? x : this.#cross(this.crossattention, x, context);
    return this.outputQuery.forward(this.intermediateQuery.forward(informed), informed);
  }

  /** Each row's queries over its picture; rows that share one ask it together. */
  #cross({ attention: heads, output }: QFormerAttention, x: Tensor, { image, pictures }: LayerContext): Tensor {
    const given = pictures ?? (image === undefined ? undefined : [{ keyValue: heads.keyValue(image), share: 1 }]);
    if (given === undefined) {
      throw new ArgumentError(
        'encoderHiddenStates',
        "the picture's features, or encoderKeyValues, where there are queries",
        'neither',
      );
    }
    const [, queries, width] = x.shape as readonly [number, number, number];
    const query = heads.query.forward(x);
    let row = 0;
    const mixed = given.map(({ keyValue, share }) => {
      const count = keyValue.key.size(0);
      const own = given.length === 1 ? query : query.narrow(0, row, count * share);
      row += count * share;
      const together = heads.split(share === 1 ? own : own.reshape(count, share * queries, width));
      return merge(heads.attend(together, keyValue, null)).view(count * share, queries, width);
    });
    return output.forward(mixed.length === 1 ? (mixed[0] as Tensor) : cat(mixed), x);
  }

  #text(x: Tensor): Tensor {
    if (this.intermediate === undefined || this.output === undefined) {
      throw new ArgumentError(
        'textEmbeds',
        'queries only: this Q-Former takes no text (use_qformer_text_input is false)',
        'text',
      );
    }
    return this.output.forward(this.intermediate.forward(x), x);
  }
}

/** The mask's first rows, where it tells rows apart. */
function rowsOf(mask: Tensor | null, rows: number): Tensor | null {
  return mask === null || mask.size(2) === 1 || mask.size(2) === rows ? mask : mask.narrow(2, 0, rows);
}
