// B pictures, W continuations of each, Q queries, P prompt length, D hidden, V vocabulary.

import type { Decodable } from '../../generate/decodable.ts';
import { aCount, anArray, aSize, checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { KeyValueCache } from '../../nn/index.ts';
import { checkTensors } from '../../tensor/base.ts';
import { keep, ones, type Tensor } from '../../tensor/index.ts';
import type { KeyValueSlot } from './attention.ts';
import type { QFormerEmbeddings } from './embeddings.ts';
import type { QFormerLmHead } from './lm-head.ts';
import { captionMask } from './masks.ts';
import type { CrossKeyValues, QFormerModel } from './model.ts';

/** What of a model writes text. */
export interface QFormerWriter {
  /** The learned queries, `[1, Q, D]`. */
  readonly queryTokens: Tensor;
  /** Words and positions; the words' table is the head's, too. */
  readonly embeddings: QFormerEmbeddings;
  /** With text input. */
  readonly qformer: QFormerModel;
  /** The language-model head. */
  readonly cls: QFormerLmHead;
}

/**
 * Decodes with the Q-Former, as image-grounded text generation trains it: text sees the queries, which see the picture, and the text
 * before it. The queries' keys and values stand in front of the prompt's in one cache, so that the picture is read once, whatever the
 * number of tokens and continuations.
 */
export class QFormerDecoding implements Decodable {
  readonly batch: number;
  readonly room: number;
  readonly #model: QFormerWriter;
  readonly #inputIds: Tensor;
  readonly #keyValues: CrossKeyValues;
  #cache: KeyValueCache | null = null;
  /** Position of the next token. */
  #next: number;

  /**
   * @param inputIds `[B, P]`, no padding
   * @param keyValues of the pictures, which are the decoding's from now on
   */
  constructor(model: QFormerWriter, inputIds: Tensor, keyValues: CrossKeyValues) {
    checkArgument('model', model, having('queryTokens', 'embeddings', 'qformer', 'cls'));
    checkTensors({ inputIds });
    checkArgument('keyValues', keyValues, anArray);
    this.#model = model;
    this.#inputIds = keep(inputIds.alias());
    this.#keyValues = keyValues;
    for (const { key, value } of this.#pictures()) keep(key) && keep(value);
    this.batch = inputIds.size(0);
    this.#next = inputIds.size(1);
    this.room = Math.max(0, model.qformer.config.maxPositionEmbeddings - this.#next);
  }

  prefill(width: number, steps: number): Tensor {
    checkArgument('width', width, aCount);
    checkArgument('steps', steps, aSize);
    const { queryTokens, embeddings, qformer, cls } = this.#model;
    const { numHiddenLayers, numAttentionHeads, hiddenSize } = qformer.config;
    const { dtype, device } = queryTokens;
    const queries = queryTokens.size(1);
    const length = this.#next;
    this.#cache = new KeyValueCache({
      layers: numHiddenLayers,
      heads: numAttentionHeads,
      headDim: hiddenSize / numAttentionHeads,
      batch: this.batch,
      prompt: queries + length,
      width,
      steps,
      dtype,
      device,
      promptMask: null,
    });
    const { written } = this.#cache.beginPrompt();
    const part = (from: number, count: number): KeyValueSlot[] =>
      written.map((pair) => {
        const [keys, values] = pair.unbind(0) as [Tensor, Tensor];
        return {
          write: { key: keys.narrow(2, from, count), value: values.narrow(2, from, count) },
          read: { key: keys.narrow(2, 0, from + count), value: values.narrow(2, 0, from + count) },
        };
      });
    // Of the queries only what is cached is needed, so the last layer has next to nothing to do.
    const slots = part(0, queries);
    qformer.encode({ queryEmbeds: queryTokens, encoderKeyValues: this.#keyValues, slots, wanted: 'first' });
    const mask = length === 1 ? null : captionMask(ones([1, length], { dtype: 'int64', device }), queries);
    const text = qformer.encode({
      textEmbeds: embeddings.forward(this.#inputIds),
      attentionMask: mask,
      slots: part(queries, length),
    }).text as Tensor;
    this.#release();
    return cls.forward(text.select(1, length - 1), embeddings.wordEmbeddings.weight);
  }

  step(tokens: Tensor, parents: Tensor | null): Tensor {
    const { embeddings, qformer, cls } = this.#model;
    if (this.#cache === null) throw new ArgumentError('the call', 'step() after prefill()', 'step() before it');
    checkTensors({ tokens });
    const { written, keys, values, mask } = this.#cache.beginStep(parents);
    const [batch, width] = tokens.shape as readonly [number, number];
    // All continuations of a picture stand at the same position.
    const words = embeddings.forward(tokens.reshape(batch * width, 1), this.#next++).view(batch, width, -1);
    const slots = written.map((pair, i) => {
      const [key, value] = pair.unbind(0) as [Tensor, Tensor];
      return { write: { key, value }, read: { key: keys[i] as Tensor, value: values[i] as Tensor } };
    });
    const text = qformer.encode({ textEmbeds: words, attentionMask: mask, slots }).text as Tensor;
    return cls.forward(text, embeddings.wordEmbeddings.weight);
  }

  dispose(): void {
    this.#release();
    this.#inputIds.dispose();
    this.#cache?.dispose();
  }

  /** The pictures are not looked at again once the queries are cached. */
  #release(): void {
    for (const { key, value } of this.#pictures()) {
      key.dispose();
      value.dispose();
    }
  }

  #pictures() {
    return this.#keyValues.flatMap((layer) => layer ?? []);
  }
}
