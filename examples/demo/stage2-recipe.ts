import { type Stage1Recipe, type Stage2Recipe, stage2 } from 'blip2';
import { CAPTION_PROMPT } from '../language/texts.ts';
import type { Language } from './questions.ts';

/** What can be changed of the demo's second stage. */
export interface Stage2Choices {
  readonly steps: number;
  readonly batchSize: number;
  readonly rate: number;
  readonly weightDecay: number;
  readonly seed: number;
}

/** The library's own recipe at the demo's size, on top of a first stage. */
export function demoStage2(from: Stage1Recipe, { kind, folder }: Language, choices: Stage2Choices): Stage2Recipe {
  const { steps, batchSize, rate, weightDecay, seed } = choices;
  return stage2({
    from,
    languageModel: folder,
    visionDtype: 'float32',
    languageModelDtype: 'float32',
    precision: 'float32',
    text: {
      maxLength: 24,
      prompt: CAPTION_PROMPT,
      // OPT's texts end with the token that it ended its own with; T5's tokenizer puts one there by itself. T5 writes whole captions, as
      // in the released code: with a prefix of theirs it would mostly be told the concept.
      ...(kind === 'opt' ? { end: ' </s>' } : { split: null }),
    },
    steps,
    batchSize,
    optimizer: { weightDecay, decay: 'matrices' },
    schedule: { start: 0, peak: rate, floor: rate / 100, warmupSteps: Math.min(50, Math.floor(steps / 10)) },
    seed,
  });
}
