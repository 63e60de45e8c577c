import type { Blip2Processor, Tensor } from 'blip2';
import { normalised } from '../emoji/pictures.ts';
import { PROMPT } from '../emoji/vocabulary.ts';

/** Makes a model's training inputs of pictures and captions. B pictures; L queries, `</s>`, prompt, caption and `</s>`. */
export class Encoder {
  readonly #processor: Blip2Processor;

  constructor(processor: Blip2Processor) {
    this.#processor = processor;
  }

  /** Bytes of pictures → normalised `[B, 3, 64, 64]`. */
  pictures(pixels: Uint8Array): Tensor {
    return normalised(pixels);
  }

  /** Captions after the prompt → ids, mask and labels `[B, L]`; neither the prompt nor padding (−100) is to be learned. */
  captions(captions: readonly string[]): { inputIds: Tensor; attentionMask: Tensor; labels: Tensor } {
    const texts = captions.map((caption) => `${PROMPT} ${caption} </s>`);
    const batch = this.#processor.encode(texts, true, { padding: 'longest', paddingSide: 'right' });
    const { inputIds, attentionMask } = batch.toTensors();
    const given = this.#processor.encode(PROMPT, true).inputIds[0]?.length ?? 0;
    const labels = inputIds.maskedFill(attentionMask.eq(0), -100);
    labels.narrow(1, 0, given).fill_(-100);
    return { inputIds, attentionMask, labels };
  }
}
