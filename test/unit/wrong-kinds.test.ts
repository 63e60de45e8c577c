// Calls everything that the package exports, and every public method, with arguments of wholly wrong kinds. Whatever is thrown must be an error of
// the package's own that says what was wrong, never a TypeError of some line inside.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import * as blip2 from '../../src/index.ts';
import { generativeCheckpoint, retrievalCheckpoint } from '../support/checkpoints.ts';
import { declarations } from '../support/declarations.ts';
import { tokenizer as stage1Tokenizer, tinyEncoder, tinyModel, tinyRecipe } from '../support/stage1-run.ts';
import { tinyLanguageModel, tinyStage2, tinyStage2Model, wordTokenizer } from '../support/stage2-run.ts';
import { toy } from '../support/toy-run.ts';

const { Blip2Error, building, Generator, ones } = blip2;
type Call = (...values: unknown[]) => unknown;

const fixtures = path.join(import.meta.dirname, '../fixtures');
const photos = path.join(fixtures, 'photos');
const picture = path.join(photos, 'rocket.jpg');
const clip = {
  hidden_size: 16,
  num_attention_heads: 2,
  intermediate_size: 32,
  num_hidden_layers: 2,
  image_size: 16,
  patch_size: 8,
};
const made: string[] = [];
const once = (make: () => string): (() => string) => {
  let folder: string | undefined;
  return () => {
    folder ??= make();
    made.push(folder);
    return folder;
  };
};
const generativeFolder = once(generativeCheckpoint);
const retrievalFolder = once(retrievalCheckpoint);

// Whatever is written is written here.
const home = process.cwd();
const room = mkdtempSync(path.join(tmpdir(), 'blip2-kinds-'));
beforeAll(() => process.chdir(room));
afterAll(async () => {
  process.chdir(home);
  // What the calls made is nobody's: gone before the tests of another file count tensors in this process.
  for (let before = Infinity; blip2.memory().tensors < before; ) {
    before = blip2.memory().tensors;
    gc?.();
    await setTimeout(50);
  }
  for (const folder of [room, ...made]) rmSync(folder, { recursive: true, force: true });
});

const WRONG: readonly (readonly [shown: string, make: () => unknown])[] = [
  ['undefined', () => undefined],
  ['null', () => null],
  ['{}', () => ({})],
  ["'x'", () => 'x'],
  ['-1', () => -1],
  ['1n', () => 1n],
  ['[]', () => []],
  ['[null]', () => [null]],
  ['a function', () => () => 1],
  ['uint8 [2]', () => ones([2], { dtype: 'uint8' })],
  ['int64 []', () => ones([], { dtype: 'int64' })],
];

/** Lists of arguments: one, two and three of a kind, and a tensor before or after. */
function* lists(): Generator<readonly [shown: string, values: unknown[]], void, undefined> {
  for (const [shown, make] of WRONG) {
    for (const count of [1, 2, 3]) yield [Array(count).fill(shown).join(', '), Array.from({ length: count }, make)];
    yield [`ids, ${shown}`, [ones([1, 2], { dtype: 'int64' }), make()]];
    yield [`${shown}, ids`, [make(), ones([1, 2], { dtype: 'int64' })]];
    yield [`pictures, ${shown}`, [ones([1, 3, 16, 16]), make()]];
  }
}

/** Runs a call to its end, a generator for a few values. */
async function finish(call: () => unknown): Promise<void> {
  const result = call();
  if (typeof result !== 'object' || result === null) return;
  if (typeof (result as PromiseLike<unknown>).then === 'function') return void (await result);
  const { next, return: end } = result as Partial<AsyncGenerator>;
  if (typeof next !== 'function' || typeof end !== 'function') return;
  for (let i = 0; i < 3; i++) if ((await next.call(result)).done) return;
  await end.call(result, undefined);
}

/** What calls throw that is no error of the package's, each message once. */
async function untyped(call: (values: unknown[]) => unknown): Promise<string[]> {
  const found = new Map<string, string>();
  for (const [shown, values] of lists()) {
    try {
      await finish(() => call(values));
    } catch (error) {
      if (error instanceof Blip2Error) continue;
      const at = (error as Error)?.stack
        ?.split('\n')
        .find((line) => line.includes('/dist/'))
        ?.trim();
      found.set(String(at), `(${shown}): ${error} ${at}`);
    }
  }
  return [...found.values()];
}

const exported = Object.entries(blip2).filter(([, value]) => typeof value === 'function') as unknown as [string, Call][];
const byName = new Map(exported);
const isClass = (value: Call): boolean => /^class\b/.test(Function.prototype.toString.call(value));
const classes = exported.filter(([, value]) => isClass(value)) as unknown as [string, new (...values: unknown[]) => object][];
const declared = new Map(declarations().map((declaration) => [declaration.name, declaration]));

/** The public members of a class, those that it inherits included. */
function membersOf(name: string): string[] {
  const own = declared.get(name);
  return own === undefined ? [] : [...own.members.map((member) => member.name), ...own.parents.flatMap(membersOf)];
}

// With nothing to wait for (no threads of their own to be started), but for the facades, whose folders are looked at first.
test.each(exported.filter(([, value]) => !isClass(value)).map(([name]) => name))('%s()', async (name) => {
  const call = byName.get(name) as Call;
  expect(await untyped((values) => call(...values))).toEqual([]);
});

const constructed = classes.filter(
  ([name, value]) => declared.get(name)?.members.some((member) => member.name === 'constructor') && value,
);
test.each(constructed.map(([name]) => name))('new %s()', async (name) => {
  const [, Class] = constructed.find(([other]) => other === name) as (typeof constructed)[number];
  expect(await untyped((values) => void new Class(...values))).toEqual([]);
});

const statics = classes.flatMap(([name, Class]) =>
  membersOf(name)
    .filter((member) => Object.hasOwn(Class, member) && typeof Class[member as never] === 'function')
    .map((member) => `${name}.${member}`),
);
test.each(statics)('%s()', async (full) => {
  const [name, member] = full.split('.') as [string, string];
  const Class = byName.get(name) as unknown as Record<string, Call>;
  expect(await untyped((values) => Class[member]?.(...values))).toEqual([]);
});

const world = (name: string): string => path.join(room, name);
const fresh = <T>(make: () => T): T => building({ generator: new Generator(1) }, make);
const recipe1 = tinyRecipe();
const recipe2 = tinyStage2('opt');
const blip2Shape = blip2.blip2Config({
  visionConfig: { ...recipe1.vision.config, hiddenAct: 'gelu' } as never,
  qformerConfig: { ...recipe1.model.qformerConfig, useQformerTextInput: true },
  textConfig: recipe2.languageModel as never,
  numQueryTokens: 4,
  imageTokenIndex: 20,
});
const retrieval = (): blip2.Blip2ForImageTextRetrieval => fresh(() => new blip2.Blip2ForImageTextRetrieval(blip2Shape));
const captions = (): Promise<blip2.IndexedDataset> => {
  const lines = ['camera.png', 'rocket.jpg'].map((image, i) => JSON.stringify({ image, caption: 'a photo', image_id: i }));
  writeFileSync(world('captions.jsonl'), `${lines.join('\n')}\n`);
  return blip2.jsonLines(world('captions.jsonl'), { images: photos });
};
const transform = blip2.evalTransform({ size: 16 });
const tokenizerOf = (name: string): blip2.Tokenizer => blip2.Tokenizer.fromPretrained(path.join(fixtures, 'text', name));
const saved = (): string => {
  blip2.saveSafetensors(world('some.safetensors'), new Map([['a', ones([2])]]));
  return world('some.safetensors');
};
const loaderOf = async (): Promise<blip2.Loader> => blip2.loader(await captions(), { transform, batchSize: 2, workers: 1 });

/** An instance of every class whose objects have methods. */
const INSTANCES: Record<string, () => object | Promise<object>> = {
  AdamW: () => new blip2.AdamW([new blip2.Parameter(ones([2]))]),
  Batch: async () => {
    const loader = await loaderOf();
    const { value } = await loader.next();
    await loader.close();
    return value as blip2.Batch;
  },
  Blip2: () => blip2.Blip2.fromPretrained(generativeFolder(), { threads: 1 }),
  Blip2ForConditionalGeneration: () => fresh(() => new blip2.Blip2ForConditionalGeneration(blip2Shape)),
  Blip2ForGenerativePretraining: () => tinyStage2Model(recipe2),
  Blip2ForImageTextRetrieval: retrieval,
  Blip2ForPretraining: () => tinyModel(recipe1),
  Blip2Processor: () => new blip2.Blip2Processor(new blip2.ImageProcessor(), tokenizerOf('opt'), 4),
  Blip2Retrieval: () => blip2.Blip2Retrieval.fromPretrained(retrievalFolder(), { threads: 1 }),
  Chat: async () => blip2.Chat.start(await blip2.Blip2.fromPretrained(generativeFolder(), { threads: 1 }), picture),
  CheckpointFolder: () => new blip2.CheckpointFolder(world('checkpoints')),
  ClipVisionModel: () => fresh(() => new blip2.ClipVisionModel(blip2.parseClipVisionConfig(clip))),
  Conv2d: () => new blip2.Conv2d(3, 4, 2),
  Dropout: () => new blip2.Dropout(0.5),
  Embedding: () => new blip2.Embedding(4, 4),
  EncodedImage: async () => (await blip2.Blip2.fromPretrained(generativeFolder(), { threads: 1 })).encode(picture),
  FeatureCache: async () =>
    blip2.FeatureCache.open({
      directory: world('features'),
      encoder: tinyEncoder(recipe1),
      dataset: await captions(),
      transform,
      workers: 1,
    }),
  FrozenEncoder: () => tinyEncoder(recipe1),
  Generator: () => new Generator(1),
  ImageProcessor: () => new blip2.ImageProcessor({ size: { height: 16, width: 16 } }),
  JsonLinesLog: () => opened(new blip2.JsonLinesLog(world('log.jsonl'))),
  KeyValueCache: () =>
    new blip2.KeyValueCache({
      ...{ layers: 1, heads: 1, headDim: 2, batch: 1, prompt: 1, width: 2, steps: 2 },
      dtype: 'float32',
      device: 'cpu',
      promptMask: null,
    }),
  LayerNorm: () => new blip2.LayerNorm(4),
  Linear: () => new blip2.Linear(4, 4),
  Loader: loaderOf,
  LossScaler: () => new blip2.LossScaler('cpu'),
  Module: () => new blip2.Linear(4, 4),
  ModuleBuffer: () => new blip2.ModuleBuffer(ones([2])),
  OptForCausalLM: () => tinyLanguageModel(recipe2),
  Packing: () => blip2.Packing.of([1, 2], 2),
  Parameter: () => new blip2.Parameter(ones([2])),
  ProgressLog: () => opened(new blip2.ProgressLog(5, new PassThrough() as never)),
  QFormerDecoding: () => {
    const model = tinyModel(recipe1);
    return new blip2.QFormerDecoding(model, ones([1, 2], { dtype: 'int64' }), model.imageKeyValues(ones([1, 5, 16])));
  },
  QFormerEmbeddings: () => fresh(() => new blip2.QFormerEmbeddings(recipe1.model.qformerConfig)),
  QFormerLmHead: () => fresh(() => new blip2.QFormerLmHead(recipe1.model.qformerConfig)),
  QFormerModel: () => fresh(() => new blip2.QFormerModel(recipe1.model.qformerConfig)),
  RMSNorm: () => new blip2.RMSNorm(4),
  Rankings: () =>
    new blip2.Rankings(
      { candidates: Int32Array.of(0, 1), cosines: Float32Array.of(1, 0) },
      1,
      () => true,
      () => true,
    ),
  Safetensors: () => blip2.openSafetensors(saved()),
  Stage1Objective: () =>
    new blip2.Stage1Objective(recipe1, {
      model: tinyModel(recipe1),
      tokenizer: stage1Tokenizer,
      encoder: tinyEncoder(recipe1),
      negatives: new Generator(1),
    }),
  Stage2Objective: () =>
    new blip2.Stage2Objective(recipe2, {
      model: tinyStage2Model(recipe2),
      languageModel: tinyLanguageModel(recipe2),
      tokenizer: wordTokenizer('opt'),
      encoder: tinyEncoder(recipe1),
      splits: new Generator(1),
    }),
  T5ForConditionalGeneration: () => tinyLanguageModel(tinyStage2('t5')),
  Tensor: () => ones([1, 1, 2, 4]),
  TensorBoardLog: () => opened(new blip2.TensorBoardLog(world('board'))),
  TensorFile: () => blip2.openWeights(saved()),
  TokenBatch: () => tokenizerOf('bert').encode(['a photo']),
  Tokenizer: () => tokenizerOf('bert'),
  TorchFile: () => blip2.openTorchFile(path.join(fixtures, 'torch', 'views.pth')),
  Trainer: () => toy(world('run')).trainer,
  VisionModel: () => fresh(() => new blip2.VisionModel(recipe1.vision.config as blip2.VisionConfig)),
};

function opened<L extends blip2.TrainingLog>(log: L): L {
  log.open(0);
  return log;
}

test('there is an instance of every class but the errors, whose methods are JavaScript’s own', () => {
  const errors = classes.filter(([, Class]) => Class.prototype instanceof Blip2Error || (Class as unknown) === Blip2Error);
  expect([...Object.keys(INSTANCES), ...errors.map(([name]) => name)].sort()).toEqual(classes.map(([name]) => name).sort());
});

/** What an object is of no use after. */
const LAST = ['close', 'dispose', 'return'];

test.each(Object.keys(INSTANCES))('methods of %s', async (name) => {
  const instance = (await INSTANCES[name]?.()) as Record<string, unknown>;
  const methods = [...new Set(membersOf(name))].filter((member) => member !== 'constructor' && typeof member === 'string');
  methods.sort((a, b) => Number(LAST.includes(a)) - Number(LAST.includes(b)));
  const problems: Record<string, string[]> = {};
  for (const method of methods) {
    if (isGetter(instance, method) || typeof instance[method] !== 'function') continue;
    const found = await untyped((values) => (instance[method] as Call)(...values));
    if (found.length > 0) problems[method] = found;
  }
  expect(problems).toEqual({});
});

function isGetter(instance: object, member: string): boolean {
  for (let at: object | null = instance; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    const property = Object.getOwnPropertyDescriptor(at, member);
    if (property !== undefined) return property.get !== undefined;
  }
  return false;
}
