import { cat, type Device, ones, type Tensor } from '../tensor/index.ts';
import { embeddedAfter, PLAIN, type Predict, type PromptedText, padded, predictions } from './stage2-texts.ts';

/**
 * T5 and its like: the encoder reads queries and prompt, padded on the right and masked; the decoder writes the target, each token after the
 * one before, the first after the start token. What pads shorter targets, no position that counts sees.
 */
export const predictFromEncoder: Predict = (language, visual, texts) => {
  const { device } = visual;
  const prompts = padded(
    texts.map(({ prompt }) => prompt),
    device,
  );
  const before = padded(
    texts.map(({ target }) => target.slice(0, -1)),
    device,
  ).ids;
  const { hidden } = language.pass({
    ...PLAIN,
    embedded: embeddedAfter(language, visual, prompts.ids),
    attentionMask: prompts.mask && cat([queriesSeen(texts, visual.size(1), device), prompts.mask], 1),
    decoderInputIds: cat([language.start(before), before], 1),
  });
  return predictions(hidden, texts, () => 0);
};

function queriesSeen(texts: readonly PromptedText[], queries: number, device: Device): Tensor {
  return ones([texts.length, queries], { dtype: 'int64', device });
}
