// B rows, Q queries, L text positions, T packed text tokens, D hidden, H heads, E = D / H.
import { cat, type Tensor } from '../../tensor/index.ts';
import { merge } from './attention.ts';
import type { Packing } from './packing.ts';

/** Which positions of a pass's last layer are computed: all, the queries, or the first of each row. */
export type Wanted = 'all' | 'queries' | 'first';

/**
 * The hidden states of a pass. Queries and text stay apart, as each kind has its own feed-forward blocks; only attention sees them side
 * by side.
 */
export interface Stream {
  /** `[B, Q, D]` */
  readonly queries: Tensor | null;
  /** `[B, L, D]`, or packed `[T, D]`. */
  readonly text: Tensor | null;
  readonly packing: Packing | null;
}

/** The same function of the queries and of the text. */
export function each(stream: Stream, step: (x: Tensor, kind: 'queries' | 'text') => Tensor): Stream {
  const { queries, text, packing } = stream;
  return {
    queries: queries === null ? null : step(queries, 'queries'),
    text: text === null ? null : step(text, 'text'),
    packing,
  };
}

/** What a last layer has to compute of its input. */
export function select(stream: Stream, wanted: Wanted): Stream {
  const { queries, text, packing } = stream;
  if (wanted === 'all') return stream;
  if (queries !== null) return { queries: wanted === 'first' ? queries.narrow(1, 0, 1) : queries, text: null, packing: null };
  if (text === null || wanted === 'queries') return { queries, text: null, packing: null };
  return { queries: null, text: packing === null ? text.narrow(1, 0, 1) : packing.first(text).unsqueeze(1), packing: null };
}

/** Side by side, queries first: `[B, Q + L, D]`, with anything at the places of padding. */
export function join({ queries, text, packing }: Stream): Tensor {
  const padded = text === null || packing === null ? text : packing.unpack(text);
  if (queries === null || padded === null) return (queries ?? padded) as Tensor;
  return cat([queries, padded], 1);
}

/** The inverse, of heads: `[B, H, Q + L, E]` to a stream like the given one. */
export function part(heads: Tensor, { queries, text, packing }: Stream): Stream {
  const count = queries?.size(1) ?? 0;
  const rest = heads.size(2) - count;
  const texts = text === null ? null : merge(count === 0 ? heads : heads.narrow(2, count, rest));
  return {
    queries: queries === null ? null : merge(rest === 0 ? heads : heads.narrow(2, 0, count)),
    text: texts === null || packing === null ? texts : packing.pack(texts),
    packing,
  };
}
