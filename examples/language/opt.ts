import { cat, OptForCausalLM, ones, optConfigToJson, parseOptConfig } from 'blip2';
import type { Concept } from '../emoji/concepts.ts';
import type { LanguageModel } from './models.ts';
import { slotsOf, WIDTH } from './slots.ts';
import { specialId, vocabulary } from './tokenizer.ts';

/** An OPT of 0.8 million parameters. It reads the description's slots and then the text. */
export function newOpt(concepts: readonly Concept[]): LanguageModel {
  const end = specialId('opt', '</s>');
  const config = parseOptConfig({
    vocab_size: vocabulary('opt', concepts).length,
    hidden_size: WIDTH,
    ffn_dim: 4 * WIDTH,
    num_hidden_layers: 4,
    num_attention_heads: 4,
    max_position_embeddings: 128,
    dropout: 0,
    pad_token_id: specialId('opt', '<pad>'),
    bos_token_id: end,
    eos_token_id: end,
    init_std: WIDTH ** -0.5,
  });
  const model = new OptForCausalLM(config);
  return {
    model,
    config: { architectures: ['OPTForCausalLM'], ...optConfigToJson(config) },
    logits: (batch) => {
      const { inputIds, attentionMask } = batch;
      const slots = slotsOf(batch, (ids) => model.embed(ids));
      const count = slots.size(1);
      const mask = cat([ones([slots.size(0), count], { dtype: 'int64' }), attentionMask], 1);
      const hidden = model.forward(cat([slots, model.embed(inputIds)], 1), mask);
      return model.project(hidden.narrow(1, count, inputIds.size(1)));
    },
  };
}
