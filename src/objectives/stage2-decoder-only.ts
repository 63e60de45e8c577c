import { embeddedAfter, PLAIN, type Predict, padded, predictions } from './stage2-texts.ts';

/**
 * OPT and its like: queries, prompt and target are one sequence, in which each position predicts the next; without a prompt the first target
 * follows the last query. Padding stands on the right, where no position that counts sees it, so there is no mask. The last token predicts
 * nothing and is not read.
 */
export const predictNext: Predict = (language, visual, texts) => {
  const rows = texts.map(({ prompt, target }) => [...prompt, ...target].slice(0, -1));
  const embedded = embeddedAfter(language, visual, padded(rows, visual.device).ids);
  const { hidden } = language.pass({ ...PLAIN, embedded });
  const last = visual.size(1) - 1;
  return predictions(hidden, texts, ({ prompt }) => last + prompt.length);
};
