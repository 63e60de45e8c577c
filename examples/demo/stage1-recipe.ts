import { type Stage1Recipe, type Stage1RecipeOptions, stage1, stage1WithoutItg } from 'blip2';
import type { Concept } from '../emoji/concepts.ts';
import { SIDE } from '../emoji/scene.ts';
import { towerConfig } from '../encoders/vision/reader.ts';
import { qformerVocabulary, specialId } from './words.ts';

/** What can be changed of the demo's first stage. */
export interface Stage1Choices {
  readonly steps: number;
  readonly batchSize: number;
  readonly rate: number;
  readonly weightDecay: number;
  readonly seed: number;
  /** False for the paper's ablation. */
  readonly itg: boolean;
}

/** The library's own recipe at the demo's size: a Q-Former of 4 layers, width 128 and 8 queries, from random weights. */
export function demoStage1(concepts: readonly Concept[], choices: Stage1Choices): Stage1Recipe {
  const { steps, batchSize, rate, weightDecay, seed, itg } = choices;
  const width = 128;
  // Layers that keep the size of what passes through them. BERT's 0.02, made for a width of 768, finds no concept in as many steps.
  const initializerRange = width ** -0.5;
  const words = qformerVocabulary(concepts).length;
  const options: Stage1RecipeOptions = {
    vision: { architecture: 'eva', config: towerConfig() },
    visionDtype: 'float32',
    precision: 'float32',
    model: {
      numQueryTokens: 8,
      imageTextHiddenSize: 64,
      visionLayerNormEps: 1e-6,
      decoderTokenId: words - 1,
      eosTokenId: specialId('[SEP]'),
      initializerRange,
      qformerConfig: {
        vocabSize: words,
        padTokenId: specialId('[PAD]'),
        hiddenSize: width,
        intermediateSize: 4 * width,
        numHiddenLayers: 4,
        numAttentionHeads: 4,
        crossAttentionFrequency: 1,
        hiddenDropoutProb: 0,
        attentionProbsDropoutProb: 0,
        maxPositionEmbeddings: 32,
        initializerRange,
      },
    },
    // Scenes are mirrored and tinted object by object, where they are drawn.
    image: { size: SIDE, crop: null, flip: 0 },
    text: { maxLength: 24 },
    steps,
    batchSize,
    optimizer: { weightDecay, decay: 'matrices' },
    schedule: { start: 0, peak: rate, floor: rate / 100, warmupSteps: Math.min(100, Math.floor(steps / 10)) },
    seed,
  };
  return itg ? stage1(options) : stage1WithoutItg(options);
}
