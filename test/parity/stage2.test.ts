import {
  ArgumentError,
  autocast,
  backward,
  cat,
  type Module,
  type PromptedText,
  scope,
  setThreads,
  stage2Loss,
  type Tensor,
} from '../../src/index.ts';
import { expectClose, expectGradientClose } from '../closeness.ts';
import { type Stage2Golden, stage2Golden } from '../support/stage2.ts';

beforeAll(() => setThreads(1));

const kinds = ['opt', 't5'] as const;
const cases = { opt: ['plain', 'prompted'], t5: ['prefixed', 'whole'] } as const;

/** Gradients by name, of what has any. */
function gradients(model: Module): Map<string, Tensor> {
  return new Map([...model.namedParameters()].flatMap(([name, { grad }]) => (grad === null ? [] : [[name, grad] as const])));
}

const first = ({ cases: [name] }: { cases: readonly string[] }): string => name as string;

describe.each(kinds.map((kind) => ({ kind, cases: cases[kind] })))('$kind', ({ kind, cases }) => {
  let golden: Stage2Golden;
  beforeEach(() => {
    golden = stage2Golden(kind);
  });

  test.each(cases)("%s: loss and gradients are those of LAVIS's forward", (name) => {
    const { model, languageModel, features } = golden;
    const { texts, loss, gradients: expected } = golden.cases[name] as Stage2Golden['cases'][string];
    scope(() => {
      const given = stage2Loss(model, languageModel, { imageFeatures: features, texts });
      expectClose(given.loss, loss);
      expect(given.statistics.tokens.item()).toBe(texts.reduce((sum, { target }) => sum + target.length, 0));
      backward([given.loss]);
      const own = gradients(model);
      expect(expected.size).toBeGreaterThan(5);
      for (const [parameter, gradient] of expected) expectGradientClose(own.get(parameter) as Tensor, gradient);
      if (name === first({ cases })) expect([...own.keys()].sort()).toEqual([...expected.keys()].sort());
      expect(gradients(languageModel).size).toBe(0);
    });
  });

  test('the loss of a row does not depend on its batch', () => {
    const { model, languageModel, features } = golden;
    const { texts } = golden.cases[first({ cases })] as Stage2Golden['cases'][string];
    scope(() => {
      const loss = (rows: readonly number[]): number => {
        const imageFeatures = cat(rows.map((row) => features.narrow(0, row, 1)));
        return stage2Loss(model, languageModel, {
          imageFeatures,
          texts: rows.map((row) => texts[row] as PromptedText),
        }).lm.item();
      };
      const count = (rows: readonly number[]): number =>
        rows.reduce((sum, row) => sum + (texts[row] as PromptedText).target.length, 0);
      for (const rows of [
        [0, 1, 2],
        [2, 0],
        [1, 1, 0],
      ]) {
        const alone = rows.reduce((sum, row) => sum + loss([row]) * count([row]), 0) / count(rows);
        expect(Math.abs(loss(rows) - alone)).toBeLessThan(1e-5);
      }
    });
  });

  test('the share of tokens that are found, and the smoothed loss', () => {
    const { model, languageModel, features } = golden;
    const { texts } = golden.cases[first({ cases })] as Stage2Golden['cases'][string];
    scope(() => {
      const batch = { imageFeatures: features, texts };
      const { statistics, lm } = stage2Loss(model, languageModel, batch);
      const found = statistics.lmAccuracy.item() * statistics.tokens.item();
      expect(found).toBeCloseTo(Math.round(found), 4);
      expect(statistics.lmAccuracy.requiresGrad).toBe(false);
      const weighted = stage2Loss(model, languageModel, batch, { labelSmoothing: 0.1, weight: 0.5 });
      expect(weighted.lm.item()).not.toBeCloseTo(lm.item(), 3);
      expect(weighted.loss.item()).toBeCloseTo(weighted.lm.item() / 2, 6);
    });
  });

  test('under autocast, with a language model in bfloat16, it is the same to what bfloat16 holds', () => {
    const { model, languageModel, features } = golden;
    const { texts, loss } = golden.cases[first({ cases })] as Stage2Golden['cases'][string];
    languageModel.to('bfloat16');
    scope(() => {
      const given = autocast({ dtype: 'bfloat16' }, () => stage2Loss(model, languageModel, { imageFeatures: features, texts }));
      expect(given.loss.dtype).toBe('float32');
      expect(Math.abs(given.loss.item() - loss.item())).toBeLessThan(0.03 * loss.item());
      backward([given.loss]);
      for (const [, gradient] of gradients(model)) expect(gradient.dtype).toBe('float32');
    });
  });

  test('what does not fit is named', () => {
    const { model, languageModel, features } = golden;
    const { texts } = golden.cases[first({ cases })] as Stage2Golden['cases'][string];
    const wrong = (argument: string, changed: { imageFeatures?: Tensor; texts?: readonly PromptedText[] }): void => {
      const call = (): unknown => scope(() => stage2Loss(model, languageModel, { imageFeatures: features, texts, ...changed }));
      expect(call).toThrow(ArgumentError);
      expect(call).toThrow(`for ${argument} but`);
    };
    wrong('imageFeatures', { imageFeatures: features.select(1, 0) });
    wrong('texts', { texts: texts.slice(1) });
    wrong('texts[1].target', { texts: texts.map((text, i) => (i === 1 ? { ...text, target: [] } : text)) });
    wrong('texts[2]', { texts: texts.map((text, i) => (i === 2 ? { prompt: [], target: [3, 40] } : text)) });
  });
});
