import { cat, ones, parseT5Config, T5ForConditionalGeneration, t5ConfigToJson } from 'blip2';
import type { Concept } from '../emoji/concepts.ts';
import type { LanguageModel } from './models.ts';
import { slotsOf, WIDTH } from './slots.ts';
import { specialId, vocabulary } from './tokenizer.ts';

/**
 * A T5 of 0.9 million parameters. The encoder reads the description's slots and then the text; the decoder writes. A deeper encoder would
 * read the same slots one way for a caption and another way for a question, and soft prompts only ever learn the first.
 */
export function newT5(concepts: readonly Concept[]): LanguageModel {
  const config = parseT5Config({
    vocab_size: vocabulary('t5', concepts).length,
    d_model: WIDTH,
    d_kv: WIDTH / 4,
    d_ff: 4 * WIDTH,
    num_layers: 2,
    num_decoder_layers: 2,
    num_heads: 4,
    relative_attention_max_distance: 64,
    dropout_rate: 0,
    pad_token_id: specialId('t5', '<pad>'),
    eos_token_id: specialId('t5', '</s>'),
  });
  const model = new T5ForConditionalGeneration(config);
  return {
    model,
    config: { architectures: ['T5ForConditionalGeneration'], ...t5ConfigToJson(config) },
    logits: (batch) => {
      const { inputIds, attentionMask, labels } = batch;
      const slots = slotsOf(batch, (ids) => model.embed(ids));
      const mask = cat([ones([slots.size(0), slots.size(1)], { dtype: 'int64' }), attentionMask], 1);
      return model.project(model.forward(cat([slots, model.embed(inputIds)], 1), mask, model.shiftRight(labels)));
    },
  };
}
