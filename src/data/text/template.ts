import type { Json } from '../../native/files.ts';

/** A token with its id. */
export type TokenId = readonly [token: string, id: number];

/** The post-processor that puts special tokens before and after a text. */
export function template(before: readonly TokenId[], after: readonly TokenId[]): Json {
  const special =
    (type: number) =>
    ([id]: TokenId): Json => ({ SpecialToken: { id, type_id: type } });
  const sequence = (id: 'A' | 'B', type: number): Json => ({ Sequence: { id, type_id: type } });
  const single = [...before.map(special(0)), sequence('A', 0), ...after.map(special(0))];
  const tokens = [...before, ...after].map(([token, id]) => [token, { id: token, ids: [id], tokens: [token] }] as const);
  return {
    type: 'TemplateProcessing',
    single,
    pair: [...single, sequence('B', 1), ...after.map(special(1))],
    special_tokens: Object.fromEntries(tokens),
  };
}
