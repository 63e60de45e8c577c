import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  AdamW,
  building,
  crossEntropy,
  decayGroups,
  Generator,
  inferenceMode,
  manualSeed,
  type Objective,
  ProgressLog,
  type StepLosses,
  saveSafetensors,
  scope,
  type Tensor,
  type Tokenizer,
  Trainer,
  warmupCosine,
} from 'blip2';
import type { Concept } from '../emoji/concepts.ts';
import { pick, randomOf } from '../emoji/random.ts';
import { keptOut } from '../emoji/splits.ts';
import { type LanguageBatch, lessonStream, toBatch } from './batches.ts';
import { type LanguageModel, newLanguageModel } from './models.ts';
import { ask, type QuestionKind, questionKinds } from './questions.ts';
import { answerMarks, anyHeldOut, describe } from './texts.ts';
import { type LanguageKind, makeTokenizer } from './tokenizer.ts';

export interface LearningOptions {
  readonly kind: LanguageKind;
  readonly concepts: readonly Concept[];
  /** Where the finished model goes: a Hugging Face folder. The run stands beside it until then, in `<folder>.run`. */
  readonly folder: string;
  readonly steps: number;
  readonly batchSize: number;
  readonly rate: number;
  readonly seed: number;
}

export const learningDefaults = { steps: 2500, batchSize: 64, rate: 2e-3, seed: 0 } as const;

/** Right answers about described scenes, in percent, by kind of question. */
export type Answers = Readonly<Record<QuestionKind, number>>;

/**
 * Trains a small language model on text alone and saves it in float16. Goes on where an earlier run of the same options was ended.
 * @returns how it answers about descriptions of scenes that no text told of
 */
export async function learnLanguage(options: LearningOptions): Promise<Answers | null> {
  const { kind, concepts, folder, steps, batchSize, rate, seed } = options;
  const run = `${folder}.run`;
  const tokenizer = await makeTokenizer(run, kind, concepts);
  manualSeed(seed);
  const language = building({ generator: new Generator(seed) }, () => newLanguageModel(kind, concepts));
  using model = language.model;
  const source = { kind, tokenizer, concepts, unseen: keptOut(concepts, 0), seed, batchSize };
  const trainer = new Trainer({
    model,
    objective: new Speaking(language.logits),
    data: (state) => lessonStream(source, typeof state === 'number' ? state : 0),
    optimizer: new AdamW(decayGroups(model.namedParameters(), { weightDecay: 0.05 }), { betas: [0.9, 0.98] }),
    schedule: warmupCosine({ peak: rate, warmupSteps: Math.min(100, steps / 10), totalSteps: steps }),
    steps,
    directory: run,
    resume: true,
    recipe: { kind, steps, batchSize, rate, seed, concepts: concepts.length },
    checkpoints: { every: 250, keepLast: 1 },
    logs: [new ProgressLog(steps)],
  });
  const { reason } = await trainer.run();
  if (reason !== 'done') return null;
  model.eval();
  const answers = answersOf(language, { kind, tokenizer, concepts });
  await save(language, run, folder);
  return answers;
}

async function save({ model, config }: LanguageModel, run: string, folder: string): Promise<void> {
  await rm(path.join(run, 'checkpoints'), { recursive: true, force: true });
  await writeFile(path.join(run, 'config.json'), `${JSON.stringify({ ...config, dtype: 'float16' }, null, 2)}\n`);
  const weights = scope(() => Object.fromEntries([...model.stateDict()].map(([name, value]) => [name, value.to('float16')])));
  saveSafetensors(path.join(run, 'model.safetensors'), weights);
  await rm(folder, { recursive: true, force: true });
  await mkdir(path.dirname(folder), { recursive: true });
  await rename(run, folder);
}

/** The mean cross-entropy of what is to be said. */
class Speaking implements Objective<LanguageBatch> {
  readonly #logits: (batch: LanguageBatch) => Tensor;

  constructor(logits: (batch: LanguageBatch) => Tensor) {
    this.#logits = logits;
  }

  size(batch: LanguageBatch): number {
    return batch.labels.size(0);
  }

  counts(batch: LanguageBatch): Record<string, number> {
    return { text: this.size(batch) };
  }

  prepare(batch: LanguageBatch): LanguageBatch {
    return batch;
  }

  losses(batch: LanguageBatch): StepLosses {
    const logits = this.#logits(batch).flatten(0, 1);
    const labels = batch.labels.flatten();
    const loss = crossEntropy(logits, labels);
    const said = labels.ge(0);
    const right = logits.detach().argmax(-1).eq(labels).sum().div(said.sum());
    return { loss, losses: { text: loss }, statistics: { right } };
  }
}

/** Asks about 200 described scenes of each kind that no text told of; an answer is right when every token of it is the likeliest. */
function answersOf(
  { logits }: LanguageModel,
  { kind, tokenizer, concepts }: { kind: LanguageKind; tokenizer: Tokenizer; concepts: readonly Concept[] },
): Answers {
  const random = randomOf(-1, 0);
  const mark = answerMarks[kind];
  const share = (asked: QuestionKind): number => {
    const lessons = Array.from({ length: 200 }, () => {
      const scene = anyHeldOut(pick(random, keptOut(concepts, 0)), random);
      const { question, answer } = ask(asked, scene, concepts, random);
      const pieces = [
        { text: `question: ${question} ${mark}`, said: false },
        { text: answer, said: true },
      ];
      return { description: describe(scene, random), pieces };
    });
    return inferenceMode(() =>
      scope(() => {
        const batch = toBatch({ kind, tokenizer }, lessons, 13, null);
        const { labels } = batch;
        const wrong = logits(batch).argmax(-1).ne(labels).logicalAnd(labels.ge(0));
        return 100 * (1 - wrong.any(1).float().mean().item());
      }),
    );
  };
  return Object.fromEntries(questionKinds.map((asked) => [asked, share(asked)])) as Answers;
}
