import { randn, type Tensor } from 'blip2';
import type { LanguageBatch } from './batches.ts';

/** Width of the language models. */
export const WIDTH = 128;

/**
 * What stands in a description's slots, `[B, S, E]`: its words' embeddings, blended, with noise. A model that reads facts in any blend,
 * wherever they stand, will read soft prompts that say them.
 */
export function slotsOf({ words, blend, noise }: LanguageBatch, embed: (ids: Tensor) => Tensor): Tensor {
  const slots = blend.matmul(embed(words));
  const strength = slots.detach().square().mean([1, 2], true).sqrt().mul(noise);
  return slots.add(randn(slots.shape).mul(strength));
}
