import {
  type BatchStream,
  type Blip2ForPretraining,
  building,
  type CaptionedBatch,
  type CaptionTokenizer,
  FrozenEncoder,
  Generator,
  newStage1Model,
  randn,
  type Stage1Recipe,
  type Stage1RecipeOptions,
  stage1,
  type TrainingRecipe,
  VisionModel,
} from '../../src/index.ts';
import type { Json } from '../../src/native/files.ts';

/** A first stage that is as small as can be, with every kind of layer and dropout on. */
export function tinyRecipe(options: Omit<Partial<Stage1RecipeOptions>, 'vision'> = {}): Stage1Recipe {
  const shape = { hiddenSize: 16, numAttentionHeads: 2, intermediateSize: 32, numHiddenLayers: 2 };
  return stage1({
    vision: { architecture: 'eva', config: { ...shape, imageSize: 16, patchSize: 8, initializerRange: 0.2 } },
    visionDtype: 'float32',
    precision: 'float32',
    steps: 20,
    batchSize: 4,
    text: { maxLength: 12 },
    schedule: { peak: 1e-3, warmupSteps: 5 },
    seed: 1,
    ...options,
    model: {
      numQueryTokens: 4,
      imageTextHiddenSize: 8,
      ...options.model,
      qformerConfig: { ...shape, vocabSize: VOCABULARY, maxPositionEmbeddings: 16, ...options.model?.qformerConfig },
    },
  });
}

const WORDS = ['a', 'small', 'red', 'boat', 'on', 'the', 'green', 'lake', 'two', 'dogs', 'under', 'a', 'tree'];
const SPECIAL = { pad: 0, cls: 1, sep: 2 } as const;
export const VOCABULARY = WORDS.length + 4; // and [DEC], which is the last

/** A token a word: `[CLS]`, words, `[SEP]`. */
export const tokenizer: CaptionTokenizer = {
  encode(captions, { maxLength }) {
    const rows = captions.map((caption) => {
      const words = caption.split(' ').map((word) => WORDS.indexOf(word) + 3);
      return [SPECIAL.cls, ...words.slice(0, maxLength - 2), SPECIAL.sep];
    });
    const longest = Math.max(...rows.map((row) => row.length));
    const padded = (row: readonly number[], value: (id: number | undefined) => number): number[] =>
      Array.from({ length: longest }, (_, i) => value(row[i]));
    return {
      inputIds: rows.map((row) => padded(row, (id) => id ?? SPECIAL.pad)),
      attentionMask: rows.map((row) => padded(row, (id) => (id === undefined ? 0 : 1))),
    };
  },
};

/** Its frozen tower, always of the same weights. */
export function tinyEncoder(recipe: Stage1Recipe): FrozenEncoder {
  if (recipe.vision.architecture !== 'eva') throw new Error('expected an EVA tower');
  const { config } = recipe.vision;
  return new FrozenEncoder(
    building({ generator: new Generator(5) }, () => new VisionModel(config)),
    recipe.visionDtype,
  );
}

export function tinyModel(recipe: Stage1Recipe): Blip2ForPretraining {
  return newStage1Model(recipe);
}

/** Pictures of noise and captions of 3 to 8 words, each batch a function of its number, which is the stream's whole state. */
export function noise(
  recipe: Pick<TrainingRecipe, 'batchSize' | 'accumulation' | 'vision'>,
  batches = Infinity,
): (state?: Json) => BatchStream<CaptionedBatch> {
  const size = recipe.batchSize / recipe.accumulation;
  const side = recipe.vision.config.imageSize;
  return (state) => {
    let next = (state as number | undefined) ?? 0;
    return {
      async next() {
        if (next >= batches) return { done: true, value: undefined };
        const number = next++;
        const captions = Array.from({ length: size }, (_, i) => {
          const at = (number * 7 + i * 3) % WORDS.length;
          return [...WORDS, ...WORDS].slice(at, at + 3 + ((number + i) % 6)).join(' ');
        });
        return {
          done: false,
          value: { captions, pixelValues: randn([size, 3, side, side], { generator: new Generator(number) }) },
        };
      },
      state: () => next,
      close: async () => {},
    };
  };
}
