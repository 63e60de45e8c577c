import fs from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import {
  building,
  Generator,
  OptForCausalLM,
  optConfigToJson,
  parseOptConfig,
  parseVisionConfig,
  type Stage1Settings,
  saveSafetensors,
  Tokenizer,
  VisionModel,
} from '../../src/index.ts';
import { tarMember, tarOf } from './tar.ts';

const COLOURS = {
  red: '#e02020',
  green: '#20c040',
  blue: '#2040e0',
  yellow: '#f0d020',
  white: '#f8f8f8',
  black: '#101010',
} as const;
const NAMES = Object.keys(COLOURS) as (keyof typeof COLOURS)[];
const WORDS = ['a', 'the', 'square', 'on', 'is', 'of', 'photo', 'ground', ...NAMES];

/** A vision tower that is as small as can be. */
export const TOWER = {
  hiddenSize: 16,
  intermediateSize: 32,
  numHiddenLayers: 2,
  numAttentionHeads: 2,
  imageSize: 16,
  patchSize: 4,
  initializerRange: 0.2,
} as const;

/** Flags of a run as small as can be, on the world of {@link makeTinyWorld}. */
export function tinyFlags(folder: string): string[] {
  const tower = Object.entries(TOWER).map(([name, value]) => [`--vision.config.${kebab(name)}`, String(value)]);
  return [
    ...['--images', path.join(folder, 'pictures'), '--bert', path.join(folder, 'bert')],
    ...['--vision.architecture', 'eva', ...tower.flat(), '--vision-weights', path.join(folder, 'tower.safetensors')],
    ...['--vision-dtype', 'float32', '--precision', 'float32', '--threads', '1', '--workers', '1'],
    ...['--text.max-length', '12', '--model.num-query-tokens', '4', '--model.image-text-hidden-size', '8'],
    ...['--batch-size', '6', '--schedule.warmup-steps', '2', '--schedule.peak', '1e-3', '--seed', '3'],
  ];
}

/** The same as settings, but for the folder of the run and its steps; of the data, `captions.jsonl`. */
export function tinyStage1Settings(folder: string): Omit<Stage1Settings, 'out'> & { data: string } {
  const at = (name: string): string => path.join(folder, name);
  return {
    data: at('captions.jsonl'),
    images: at('pictures'),
    bert: at('bert'),
    visionWeights: at('tower.safetensors'),
    vision: { architecture: 'eva', config: TOWER },
    visionDtype: 'float32',
    precision: 'float32',
    threads: 1,
    workers: 0,
    text: { maxLength: 12 },
    model: { numQueryTokens: 4, imageTextHiddenSize: 8 },
    batchSize: 6,
  };
}

/** A question as VQA has it. */
export interface TinyQuestion {
  readonly question_id: number;
  readonly image_id: number;
  readonly question: string;
}

/** Questions and, of as many people as the authors ask, the one answer "square", in two files as VQA has them. */
export function writeQuestions(questionFile: string, answerFile: string, questions: readonly TinyQuestion[]): void {
  const answers = Array.from({ length: 10 }, () => ({ answer: 'square' }));
  const annotations = questions.map((question) => ({ ...question, question_type: 'what', answer_type: 'other', answers }));
  fs.writeFileSync(questionFile, JSON.stringify({ data_subtype: 'val2014', questions }));
  fs.writeFileSync(answerFile, JSON.stringify({ annotations }));
}

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/**
 * Coloured squares on coloured grounds with two captions each, in every format: `pictures/` (with texts), `captions.jsonl`, `official.json`,
 * `karpathy.json`, `tars/`. And a vision tower's weights, `tower.safetensors`, and a BERT with a tokenizer, `bert/`.
 */
export async function makeTinyWorld(folder: string): Promise<void> {
  const at = (...names: string[]): string => path.join(folder, ...names);
  for (const name of ['pictures', 'tars', 'bert']) fs.mkdirSync(at(name), { recursive: true });
  const pairs = NAMES.flatMap((square, i) => NAMES.slice(i + 1).map((ground) => ({ square, ground })));
  const records = await Promise.all(
    pairs.map(async ({ square, ground }, i) => {
      const image = `${square}-${ground}.png`;
      const bytes = await drawn(COLOURS[square], COLOURS[ground]);
      fs.writeFileSync(at('pictures', image), bytes);
      const captions = [`a ${square} square on ${ground}`, `the ground is ${ground}, the square ${square}`];
      fs.writeFileSync(at('pictures', image.replace('.png', '.json')), JSON.stringify({ captions }));
      return { image, bytes, captions, id: i + 1 };
    }),
  );
  const lines = records.map(({ image, captions, id }) => JSON.stringify({ image, captions, image_id: id }));
  fs.writeFileSync(at('captions.jsonl'), `${lines.join('\n')}\n`);
  const official = {
    images: records.map(({ image, id }) => ({ id, file_name: image })),
    annotations: records.flatMap(({ captions, id }) =>
      captions.map((caption, i) => ({ id: 10 * id + i, image_id: id, caption })),
    ),
  };
  fs.writeFileSync(at('official.json'), JSON.stringify(official));
  const splits = ['train', 'train', 'restval', 'val', 'test'];
  const karpathy = records.map(({ image, captions, id }, i) => ({
    filename: image,
    cocoid: id,
    imgid: i,
    split: splits[i % splits.length],
    sentences: captions.map((raw) => ({ raw })),
  }));
  fs.writeFileSync(at('karpathy.json'), JSON.stringify({ images: karpathy, dataset: 'coco' }));
  for (const shard of [0, 1, 2]) {
    const own = records.filter((_, i) => i % 3 === shard);
    const members = own.flatMap(({ bytes, captions, id }) => [
      tarMember(`${id}.png`, bytes),
      tarMember(`${id}.json`, JSON.stringify({ captions, image_id: id })),
    ]);
    fs.writeFileSync(at('tars', `shard-${shard}.tar`), tarOf(...members));
  }
  const tower = building({ generator: new Generator(9) }, () => new VisionModel(parseVisionConfig(snake(TOWER))));
  saveSafetensors(at('tower.safetensors'), tower.stateDict());
  tower.dispose();
  const bert = path.join(import.meta.dirname, '../fixtures/bert/new');
  for (const name of fs.readdirSync(bert)) fs.copyFileSync(path.join(bert, name), at('bert', name));
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ','];
  const unused = Array.from({ length: 61 - special.length - WORDS.length }, (_, i) => `[unused${i}]`);
  fs.writeFileSync(at('bert', 'vocab.txt'), `${[...special, ...WORDS, ...unused].join('\n')}\n`);
}

/** A small random OPT with its tokenizer, as a folder of Hugging Face's: `opt/`. */
export function makeLanguageModel(folder: string): void {
  const target = path.join(folder, 'opt');
  fs.cpSync(path.join(import.meta.dirname, '../fixtures/text/opt'), target, { recursive: true });
  const { vocabSize } = Tokenizer.fromPretrained(target);
  const config = parseOptConfig({
    vocab_size: vocabSize + 8,
    hidden_size: 16,
    word_embed_proj_dim: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    ffn_dim: 24,
    max_position_embeddings: 40,
    init_std: 0.3,
  });
  const model = building({ generator: new Generator(8) }, () => new OptForCausalLM(config));
  fs.writeFileSync(path.join(target, 'config.json'), JSON.stringify(optConfigToJson(config)));
  saveSafetensors(path.join(target, 'model.safetensors'), model.stateDict());
  model.dispose();
}

function drawn(square: string, ground: string): Promise<Buffer> {
  const inner = { create: { width: 12, height: 12, channels: 3, background: square } } as const;
  return sharp({ create: { width: 24, height: 24, channels: 3, background: ground } })
    .composite([{ input: inner, left: 6, top: 6 }])
    .png()
    .toBuffer();
}

const snake = (fields: object): object =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [kebab(name).replaceAll('-', '_'), value]));
