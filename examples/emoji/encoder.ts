import { type Blip2Processor, fromTypedArray, type Tensor, tensor } from 'blip2';
import { SIDE } from './scene.ts';
import { PROMPT } from './vocabulary.ts';

/** Makes a model's training inputs of pictures and captions. B pictures; L queries, `</s>`, prompt, caption and `</s>`. */
export class Encoder {
  readonly #processor: Blip2Processor;
  readonly #mean: Tensor;
  readonly #std: Tensor;

  constructor(processor: Blip2Processor) {
    this.#processor = processor;
    const { imageMean, imageStd } = processor.imageProcessor.config;
    this.#mean = tensor(imageMean.map((mean) => [[255 * mean]]));
    this.#std = tensor(imageStd.map((std) => [[255 * std]]));
  }

  /** Bytes of pictures → normalised `[B, 3, 64, 64]`. */
  pictures(pixels: Uint8Array): Tensor {
    const bytes = fromTypedArray(pixels, [pixels.length / (SIDE * SIDE * 3), SIDE, SIDE, 3]);
    return bytes.permute(0, 3, 1, 2).float().sub(this.#mean).div(this.#std);
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
