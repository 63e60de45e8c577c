import fs from 'node:fs';
import path from 'node:path';
import { type DatasetSource, type ImageTransform, parseDatasetSource } from '../data/index.ts';
import { ArgumentError, FileError } from '../native/errors.ts';
import { shown } from '../native/fields.ts';
import { makeFolder, readJsonObject, reasonOf, writeFileAtomically } from '../native/files.ts';
import type { Device } from '../tensor/index.ts';
import type { CheckpointOptions } from '../train/index.ts';
import { count, flag, orNull, overridden, probability, type Rule, type Rules, whole } from './fields.ts';

/** Pictures with captions, as `openDataset` takes them. */
export type DataSettings = string | DatasetSource | readonly (string | DatasetSource)[];

/** What a run evaluates meanwhile. */
export interface EvaluationSettings {
  /** Pictures with captions that are not trained on; null for none. Of Karpathy's split `val` unless told. */
  readonly data: DataSettings | null;
  /** Where their pictures are; as for training unless told. */
  readonly images: string | null;
  /** Steps from one to the next. */
  readonly every: number;
  /** Pictures at a time. */
  readonly batchSize: number;
  /** How many of the most similar texts, or pictures, are ranked anew by matching; 0 for none. */
  readonly topK: number;
  /** How many of these pictures, the first ones, the model captions as well; 0 for none. */
  readonly captions: number;
  /** The second stage: a file of questions about pictures, as `openQuestions` takes it; null for none. Its pictures are where `images` says. */
  readonly questions: string | null;
  /** The answers to them, where these are in a file of their own; null for none. */
  readonly annotations: string | null;
  /** How many questions are asked, the first ones; null for all. */
  readonly questionCount: number | null;
}

/** Of a run, what does not decide on its numbers as the recipe does: where things are, and what it runs on. */
export interface RunSettings {
  /** The run's folder. */
  readonly out: string;
  /** What is trained on. */
  readonly data: DataSettings;
  /** The folder that pictures' names in `data` start from; that of the file that names them where null. */
  readonly images: string | null;
  /** Where model and tower lie. */
  readonly device: Device;
  /** Threads of an operator on the CPU; libtorch's choice where null. */
  readonly threads: number | null;
  /** Threads that read pictures; the loader's choice where null. */
  readonly workers: number | null;
  /** The share of samples that may be broken before the run stops. */
  readonly maxBroken: number;
  /** A folder for the frozen encoder's features, which are then computed once; null for none. */
  readonly features: string | null;
  /** What is measured along the way. */
  readonly evaluation: EvaluationSettings;
  /** When it saves, and what it keeps. */
  readonly checkpoints: Required<CheckpointOptions>;
  /** Steps from one line in the logs to the next. */
  readonly logEvery: number;
}

/** Settings as they are given: what has a value of its own may be left out, at every depth. */
export type GivenSettings = Pick<RunSettings, 'out' | 'data'> &
  Partial<Omit<RunSettings, 'out' | 'data' | 'evaluation' | 'checkpoints'>> & {
    evaluation?: Partial<EvaluationSettings>;
    checkpoints?: CheckpointOptions;
  };

/** The settings that have values of their own where none are given. */
export const RUN_DEFAULTS: Omit<RunSettings, 'out' | 'data'> = {
  images: null,
  device: 'cpu',
  threads: null,
  workers: null,
  maxBroken: 0.01,
  features: null,
  evaluation: {
    data: null,
    images: null,
    every: 1000,
    batchSize: 32,
    topK: 128,
    captions: 0,
    questions: null,
    annotations: null,
    questionCount: null,
  },
  checkpoints: { every: 1000, keepLast: 2, whole: false },
  logEvery: 1,
};

export const place: Rule = { fits: (value) => typeof value === 'string' && value !== '', expected: 'a path' };
const isSource = (value: unknown): boolean => place.fits(value) || (typeof value === 'object' && value !== null);
const sources: Rule = {
  fits: (value) => (Array.isArray(value) ? value.length > 0 && value.every(isSource) : isSource(value)),
  expected: 'a file or folder of pictures with captions, or a list of them',
};
export const RUN_RULES: Rules = {
  out: place,
  data: sources,
  images: orNull(place),
  device: {
    fits: (value) => typeof value === 'string' && /^(cpu|cuda(:\d+)?)$/.test(value),
    expected: 'cpu, cuda or cuda:<number>',
  },
  threads: orNull(count),
  workers: orNull(whole),
  maxBroken: probability,
  features: orNull(place),
  evaluation: {
    data: orNull(sources),
    images: orNull(place),
    every: count,
    batchSize: count,
    topK: whole,
    captions: whole,
    questions: orNull(place),
    annotations: orNull(place),
    questionCount: orNull(count),
  },
  checkpoints: { every: count, keepLast: count, whole: flag },
  logEvery: count,
};

/**
 * The run's settings among others, checked, with absolute paths; and what is left. Nothing says here that `out` and `data` are there.
 * @throws ArgumentError naming the setting as `run.<name>`
 */
export function runSettings<T extends object>(
  given: object,
  rules: Rules,
  defaults: T,
): [settings: RunSettings & T, rest: object] {
  const all = { ...RUN_RULES, ...rules };
  const [own, rest] = [{}, {}] as [Record<string, unknown>, Record<string, unknown>];
  for (const [name, value] of Object.entries(given)) (Object.hasOwn(all, name) ? own : rest)[name] = value;
  const settings = overridden({ ...RUN_DEFAULTS, ...defaults } as RunSettings & T, own, all, 'run');
  return [withAbsolutePaths(settings), rest];
}

/** A name in a file may be misspelt. @throws ArgumentError */
export function checkNames(given: object, known: readonly string[]): void {
  const names = ['out', 'data', ...known];
  const odd = Object.keys(given).find((name) => !names.includes(name));
  if (odd !== undefined) throw new ArgumentError('run', `settings out of ${[...new Set(names)].join(', ')}`, odd);
}

/**
 * @param resume whether a run was to go on
 * @throws ArgumentError for a setting that is not there and has no value of its own
 */
export function checkGiven(settings: Partial<RunSettings>, expected: Readonly<Record<string, string>>, resume: boolean): void {
  const needed = { out: 'a folder', data: sources.expected, ...expected };
  const missing = Object.entries(needed).find(([name]) => (settings as Record<string, unknown>)[name] === undefined);
  if (missing === undefined) return;
  const [name, words] = missing;
  const { out } = settings;
  if (resume && out !== undefined && stageOf(out) === undefined) {
    const expected = `a folder with a run to resume (there is no ${FILE} in it), or else all that a new run needs,`;
    throw new ArgumentError('run.out', expected, out);
  }
  throw new ArgumentError(`run.${name}`, words, 'none');
}

/** @throws ArgumentError where captions or questions have no pictures, or nobody to answer them */
export function checkEvaluation({ evaluation }: RunSettings, answers: boolean): void {
  const { data, captions, questions, annotations } = evaluation;
  if (captions > 0 && data === null)
    throw new ArgumentError('run.evaluation.captions', '0, or pictures in evaluation.data', String(captions));
  if (questions !== null && !answers) {
    throw new ArgumentError('run.evaluation.questions', 'null, as the first stage answers no questions', questions);
  }
  if (annotations !== null && questions === null) {
    throw new ArgumentError('run.evaluation.annotations', 'null, or the questions in evaluation.questions', annotations);
  }
}

/** @throws ArgumentError where features were to be kept of pictures that are never the same twice */
export function checkFeatures({ features }: RunSettings, { crop, flip }: ImageTransform): void {
  if (features === null || (crop === null && flip === 0)) return;
  const expected =
    'null, or beside it image.crop null and image.flip 0 (--image.crop null --image.flip 0), as random crops and flips';
  throw new ArgumentError('run.features', `${expected} have other features every time,`, features);
}

/** So that a run can go on from another folder. */
function withAbsolutePaths<T extends RunSettings>(settings: T): T {
  const { out, data, images, features, evaluation } = settings;
  return {
    ...settings,
    ...(out === undefined ? {} : { out: path.resolve(out) }),
    ...(data === undefined ? {} : { data: absoluteSources(data) }),
    images: absolute(images),
    features: absolute(features),
    evaluation: {
      ...evaluation,
      data: evaluation.data === null ? null : absoluteSources(evaluation.data),
      images: absolute(evaluation.images),
      questions: absolute(evaluation.questions),
      annotations: absolute(evaluation.annotations),
    },
  };
}

/** A path made absolute; null stays. */
export function absolute<T extends string | null>(file: T): T {
  return (file === null ? null : path.resolve(file)) as T;
}

function absoluteSources(data: DataSettings): readonly DatasetSource[] {
  return [data].flat().map((given) => {
    const source = typeof given === 'string' ? parseDatasetSource(given) : given;
    if (typeof source.path !== 'string') throw new ArgumentError('run.data.path', 'a file or folder', shown(source.path));
    return {
      ...source,
      path: path.resolve(source.path),
      ...(typeof source.images === 'string' ? { images: path.resolve(source.images) } : {}),
    };
  });
}

/** One in another's place, field by field at every depth. */
export function overlaid(below: object, above: object): object {
  const result: Record<string, unknown> = { ...below };
  for (const [name, value] of Object.entries(above)) {
    const old = result[name];
    if (value !== undefined) result[name] = isObject(old) && isObject(value) ? overlaid(old, value) : value;
  }
  return result;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const FILE = 'run.json';

/** What a run was told, as its folder has it: without the folder itself, which may have been moved since. Undefined where there is no run. */
export function readRun(folder: string, stage: string): object | undefined {
  const file = path.join(folder, FILE);
  if (!fs.existsSync(file)) return undefined;
  const { stage: own, ...settings } = readJsonObject(file);
  if (own !== stage) throw new FileError(file, `expected ${JSON.stringify(stage)} for stage but received ${shown(own)}`);
  return settings;
}

/**
 * All that a run is told: with `resume`, what its folder says, and in its place what is told now.
 * @returns the same, and whether the folder said anything, so that the run goes on
 */
export function toldOf<T extends { readonly out?: string }>(
  given: T,
  stage: string,
  resume: boolean,
): { readonly told: T; readonly goesOn: boolean } {
  const saved = resume && typeof given.out === 'string' ? readRun(path.resolve(given.out), stage) : undefined;
  return saved === undefined ? { told: given, goesOn: false } : { told: overlaid(saved, given) as T, goesOn: true };
}

/** The stage of the run that is in a folder; undefined where there is none. */
export function stageOf(folder: string): string | undefined {
  const file = path.join(folder, FILE);
  if (!fs.existsSync(file)) return undefined;
  const { stage } = readJsonObject(file);
  return typeof stage === 'string' ? stage : undefined;
}

/** Writes what a run was told. A file of it, as a configuration, begins the same run elsewhere. */
export function writeRun(folder: string, stage: string, settings: object): void {
  const { out: _, ...rest } = settings as { out?: string };
  try {
    makeFolder(folder);
  } catch (error) {
    throw new FileError(folder, `cannot be made: ${reasonOf(error)}`, { cause: error });
  }
  writeFileAtomically(path.join(folder, FILE), `${JSON.stringify({ stage, ...rest }, null, 2)}\n`);
}
