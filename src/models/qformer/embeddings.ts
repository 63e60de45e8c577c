import { aSize, checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { Embedding, initNormal, Module } from '../../nn/index.ts';
import { checkTensors } from '../../tensor/base.ts';
import { arange, type Tensor } from '../../tensor/index.ts';
import type { QFormerConfig } from './config.ts';

/** Words and their positions; the Q-Former's own LayerNorm follows, over queries and text together. */
export class QFormerEmbeddings extends Module {
  /** `[vocabSize, D]`; the output table of the LM head, too. */
  readonly wordEmbeddings: Embedding;
  /** `[maxPositionEmbeddings, D]` */
  readonly positionEmbeddings: Embedding;
  readonly #positions: number;

  constructor(config: QFormerConfig) {
    super();
    checkArgument('config', config, having('hiddenSize'));
    const init = initNormal(config.initializerRange);
    this.wordEmbeddings = new Embedding(config.vocabSize, config.hiddenSize, { init });
    this.positionEmbeddings = new Embedding(config.maxPositionEmbeddings, config.hiddenSize, { init });
    this.#positions = config.maxPositionEmbeddings;
  }

  /**
   * Ids `[B, L]` → `[B, L, D]`. Positions count the text alone, from `offset` on, never the queries.
   * @throws ArgumentError where the text is longer than there are positions
   */
  forward(inputIds: Tensor, offset = 0): Tensor {
    checkTensors({ inputIds });
    checkArgument('offset', offset, aSize);
    const end = offset + inputIds.size(1);
    if (end > this.#positions) {
      throw new ArgumentError('inputIds', `at most ${this.#positions} positions (max_position_embeddings)`, String(end));
    }
    const positions = arange(offset, end, 1, { device: inputIds.device });
    return this.wordEmbeddings.forward(inputIds).add(this.positionEmbeddings.forward(positions));
  }
}
