// Which positions of a Q-Former pass see which (BLIP-2, figure 2): booleans, true where attention is allowed, broadcast to
// [B, H, Lq, Lk]. `tokens` [B, L] is 1 at tokens and 0 at padding. B batch, L text length, Q queries.
import { aSize, checkArgument } from '../../native/arguments.ts';
import { checkTensors } from '../../tensor/base.ts';
import { cat, ones, type Tensor } from '../../tensor/index.ts';

/** Image-text contrast: text sees text that is no padding, `[B, 1, 1, L]`. (The queries' own pass has no mask.) */
export function contrastMask(tokens: Tensor): Tensor {
  checkTensors({ tokens });
  return tokens.bool().unsqueeze(1).unsqueeze(1);
}

/** Image-text matching: queries and text see each other, all but padding, `[B, 1, 1, Q + L]`. */
export function matchingMask(tokens: Tensor, queries: number): Tensor {
  const seenTokens = contrastMask(tokens);
  return cat([seen(tokens, queries), seenTokens], 3);
}

/**
 * Image-grounded text generation: queries see queries, text sees the queries and the text up to itself that is no padding,
 * `[B, 1, Q + L, Q + L]` (the multimodal causal mask of UniLM).
 */
export function unifiedMask(tokens: Tensor, queries: number): Tensor {
  checkTensors({ tokens });
  checkArgument('queries', queries, aSize);
  const length = tokens.size(1);
  const row = matchingMask(tokens, queries); // what is there to be seen at all
  const order = ones([queries + length, queries + length], { dtype: 'bool', device: tokens.device }).tril();
  // The first Q rows and columns see each other in both directions.
  order.narrow(0, 0, queries).narrow(1, 0, queries).fill_(1);
  return row.logicalAnd(order);
}

/**
 * The same for text alone, over cached keys and values of the queries and of earlier text: the last rows of {@link unifiedMask},
 * `[B, 1, L, Q + P + L]`. `tokens` `[B, P + L]` covers the P earlier positions too.
 */
export function captionMask(tokens: Tensor, queries: number, past = 0): Tensor {
  checkTensors({ tokens });
  checkArgument('queries', queries, aSize);
  checkArgument('past', past, aSize);
  const total = tokens.size(1);
  const order = ones([total - past, queries + total], { dtype: 'bool', device: tokens.device }).tril(queries + past);
  return matchingMask(tokens, queries).logicalAnd(order);
}

function seen(tokens: Tensor, queries: number): Tensor {
  return ones([tokens.size(0), 1, 1, queries], { dtype: 'bool', device: tokens.device });
}
