import { rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  AdamW,
  building,
  crossEntropy,
  decayGroups,
  Generator,
  manualSeed,
  type Objective,
  type Precision,
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
import { rightAnswers } from './answers.ts';
import { type LanguageBatch, lessonStream } from './batches.ts';
import { type LanguageModel, newLanguageModel } from './models.ts';
import { ask, type QuestionKind, questionKinds } from './questions.ts';
import { anyHeldOut, describe } from './texts.ts';
import { type LanguageKind, makeTokenizer } from './tokenizer.ts';

export interface LearningOptions {
  readonly kind: LanguageKind;
  readonly concepts: readonly Concept[];
  /** Where the finished model goes: a Hugging Face folder. */
  readonly folder: string;
  /** Where the run stands until then. */
  readonly run: string;
  readonly steps: number;
  readonly batchSize: number;
  readonly rate: number;
  /** Of the products. */
  readonly precision: Precision;
  readonly seed: number;
}

const common = { batchSize: 64, precision: 'bfloat16', seed: 0 } as const;
/** T5 learns from one answer a text, and OPT from all of them. */
export const learningDefaults = {
  opt: { ...common, steps: 2500, rate: 2e-3 },
  t5: { ...common, steps: 8000, rate: 1e-3 },
} as const;

/** Right answers about described scenes, in percent, by kind of question. */
export type Answers = Readonly<Record<QuestionKind, number>>;

/** A language model that has learned, and is saved. */
export interface Learned {
  readonly answers: Answers;
  readonly parameters: number;
  /** Of this run; one that went on counts from there. */
  readonly seconds: number;
}

/**
 * Trains a small language model on text alone and saves it in float16. Goes on where an earlier run of the same options was ended.
 * @returns how it answers about descriptions of scenes that no text told of; null where it was asked to stop
 */
export async function learnLanguage(options: LearningOptions): Promise<Learned | null> {
  const { kind, concepts, run, steps, batchSize, rate, precision, seed } = options;
  const started = performance.now();
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
    schedule: warmupCosine({ peak: rate, warmupSteps: Math.min(100, Math.floor(steps / 10)), totalSteps: steps }),
    steps,
    precision,
    directory: run,
    resume: true,
    recipe: { kind, steps, batchSize, rate, precision, seed, concepts: concepts.length },
    checkpoints: { every: 250, keepLast: 1 },
    logs: [new ProgressLog(steps)],
  });
  const { reason } = await trainer.run();
  if (reason !== 'done') return null;
  model.eval();
  const answers = answersOf(language, kind, tokenizer, concepts);
  await save(language, options);
  await rm(run, { recursive: true, force: true });
  return { answers, parameters: model.parameterCount(), seconds: (performance.now() - started) / 1000 };
}

/** Writes the folder aside and puts it in its place. */
async function save({ model, config }: LanguageModel, { kind, concepts, folder }: LearningOptions): Promise<void> {
  const partial = `${folder}.partial`;
  await makeTokenizer(partial, kind, concepts);
  await writeFile(path.join(partial, 'config.json'), `${JSON.stringify({ ...config, dtype: 'float16' }, null, 2)}\n`);
  scope(() => {
    const halves = [...model.stateDict()].map(([name, value]) => [name, value.detach().to('float16')] as const);
    saveSafetensors(path.join(partial, 'model.safetensors'), new Map(halves));
  });
  await rm(folder, { recursive: true, force: true });
  await rename(partial, folder);
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

/** Asks about 200 described scenes of each kind that no text told of. */
function answersOf(language: LanguageModel, kind: LanguageKind, tokenizer: Tokenizer, concepts: readonly Concept[]): Answers {
  const random = randomOf(-1, 0);
  const unseen = keptOut(concepts, 0);
  const share = (asked: QuestionKind): number => {
    const scenes = Array.from({ length: 200 }, () => anyHeldOut(pick(random, unseen), random));
    const questions = scenes.map((scene) => ask(asked, scene, concepts, random));
    const descriptions = scenes.map((scene) => describe(scene, random));
    const right = rightAnswers(language, { kind, tokenizer }, questions, descriptions);
    return (100 * right.filter(Boolean).length) / right.length;
  };
  return Object.fromEntries(questionKinds.map((asked) => [asked, share(asked)])) as Answers;
}
