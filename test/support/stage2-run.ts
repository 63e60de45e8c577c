import {
  type Blip2ForGenerativePretraining,
  building,
  type CaptionTokenizer,
  Generator,
  type LanguageModel,
  newStage2Model,
  OptForCausalLM,
  type Stage2Recipe,
  type Stage2RecipeOptions,
  stage2,
  T5ForConditionalGeneration,
} from '../../src/index.ts';
import { tinyRecipe as stage1Recipe } from './stage1-run.ts';

const WORDS = ['a', 'small', 'red', 'boat', 'on', 'the', 'green', 'lake', 'two', 'dogs', 'under', 'tree'];
const FIRST = 4;
const UNKNOWN = 3;
const END = '\n';
const ENDING = FIRST + WORDS.length;
const VOCABULARY = ENDING + 5;

const LANGUAGE_MODELS = {
  opt: {
    modelType: 'opt',
    vocabSize: VOCABULARY,
    hiddenSize: 24,
    wordEmbedProjDim: 24,
    numHiddenLayers: 2,
    numAttentionHeads: 2,
    ffnDim: 32,
    maxPositionEmbeddings: 40,
    initStd: 0.2,
    eosTokenId: ENDING,
  },
  t5: { modelType: 't5', vocabSize: VOCABULARY, dModel: 24, dKv: 8, dFf: 32, numLayers: 2, numHeads: 2, isGatedAct: true },
} as const;

export type Kind = keyof typeof LANGUAGE_MODELS;

/** A second stage that is as small as can be, dropout on in what is trained, behind the tiny first stage. */
export function tinyStage2(kind: Kind, options: Partial<Stage2RecipeOptions> = {}): Stage2Recipe {
  return stage2({
    from: stage1Recipe(),
    languageModel: LANGUAGE_MODELS[kind],
    languageModelDtype: 'float32',
    precision: 'float32',
    steps: 20,
    batchSize: 4,
    schedule: { peak: 1e-3, floor: 5e-4, warmupSteps: 5 },
    seed: 1,
    ...options,
    text: { maxLength: 12, ...options.text },
  });
}

/** The frozen language model, always of the same weights. */
export function tinyLanguageModel(recipe: Stage2Recipe): LanguageModel {
  const { languageModel: config } = recipe;
  return building({ generator: new Generator(7) }, () =>
    config.modelType === 'opt' ? new OptForCausalLM(config) : new T5ForConditionalGeneration(config),
  );
}

export function tinyStage2Model(recipe: Stage2Recipe): Blip2ForGenerativePretraining {
  return newStage2Model(recipe);
}

/** A token a word, and one for a line break; OPT's begin with 2, T5's end with 1. */
export function wordTokenizer(kind: Kind): CaptionTokenizer {
  const [before, after, pad] = kind === 'opt' ? [[2], [], 1] : [[], [1], 0];
  return {
    encode(captions, { maxLength }) {
      const rows = captions.map((caption) => {
        const words = caption
          .replaceAll(END, ` ${END}`)
          .split(' ')
          .filter((word) => word !== '');
        const ids = words.map((word) => (word === END ? ENDING : WORDS.includes(word) ? FIRST + WORDS.indexOf(word) : UNKNOWN));
        return [...before, ...ids.slice(0, maxLength - 1), ...after];
      });
      const longest = Math.max(...rows.map((row) => row.length));
      const filled = (value: (id: number | undefined) => number): number[][] =>
        rows.map((row) => Array.from({ length: longest }, (_, i) => value(row[i])));
      return { inputIds: filled((id) => id ?? pad), attentionMask: filled((id) => (id === undefined ? 0 : 1)) };
    },
  };
}
