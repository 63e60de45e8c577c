// LAVIS's own file of the second stage (scripts/oracle/lavis_files.py) and frozen models beside it become one folder, by the command line.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  ArgumentError,
  Blip2ForConditionalGeneration,
  building,
  exportLavis,
  FileError,
  Generator,
  lavisRecipe,
  loadLanguageModel,
  loadLavis,
  loadTorchFile,
  OptForCausalLM,
  optConfigToJson,
  parseOptConfig,
  parseT5Config,
  saveSafetensors,
  setThreads,
  T5ForConditionalGeneration,
  type Tensor,
  Tokenizer,
  t5ConfigToJson,
} from '../../src/index.ts';
import { blip2 } from '../support/cli.ts';

const fixtures = path.join(import.meta.dirname, '../fixtures');
const lavis = (name: string): string => path.join(fixtures, 'lavis', name);
const room = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-export-lavis-'));
const at = (name: string): string => path.join(room, name);
const opt = at('opt');
const t5 = at('t5');

// What no shape says: heads; and, of a tower that is not in the file, all.
const config = {
  vision: {
    architecture: 'eva',
    config: { hiddenSize: 16, intermediateSize: 40, numHiddenLayers: 2, numAttentionHeads: 2, imageSize: 21, patchSize: 7 },
  },
  model: { qformerConfig: { numAttentionHeads: 4 } },
} as const;

beforeAll(() => {
  setThreads(1);
  for (const [kind, folder] of Object.entries({ opt, t5 })) {
    fs.cpSync(path.join(fixtures, 'text', kind), folder, { recursive: true });
    const vocab_size = Tokenizer.fromPretrained(folder).vocabSize + 3;
    building({ generator: new Generator(3) }, () => {
      const common = { vocab_size, num_layers: 1, num_hidden_layers: 1, max_position_embeddings: 40 };
      const model =
        kind === 'opt'
          ? new OptForCausalLM(
              parseOptConfig({ ...common, hidden_size: 20, word_embed_proj_dim: 20, num_attention_heads: 2, ffn_dim: 24 }),
            )
          : new T5ForConditionalGeneration(
              parseT5Config({
                ...common,
                d_model: 20,
                d_kv: 8,
                d_ff: 24,
                num_heads: 2,
                feed_forward_proj: 'gated-gelu',
                tie_word_embeddings: false,
              }),
            );
      const json = model instanceof OptForCausalLM ? optConfigToJson(model.config) : t5ConfigToJson(model.config);
      fs.writeFileSync(path.join(folder, 'config.json'), JSON.stringify(json));
      saveSafetensors(path.join(folder, 'model.safetensors'), model.stateDict());
      model.dispose();
    });
  }
  fs.writeFileSync(at('fields.json'), JSON.stringify(config));
});
afterAll(() => fs.rmSync(room, { recursive: true, force: true }));

/** Under LAVIS's names, as `model` holds them. */
function weights(change: (state: Map<string, Tensor>) => void, name: string): string {
  const state = new Map(
    [...loadTorchFile(lavis('stage2.pth'))].flatMap(([key, value]) => (key.startsWith('model.') ? [[key.slice(6), value]] : [])),
  );
  change(state as Map<string, Tensor>);
  saveSafetensors(at(name), state as Map<string, Tensor>);
  return at(name);
}

/** Every value of an exported folder is that of the file or of the frozen model that it came from. */
function expectFrom(folder: string, files: readonly string[], languageModel: string): Blip2ForConditionalGeneration {
  const model = Blip2ForConditionalGeneration.fromPretrained(folder);
  const expected = building({ generator: new Generator(9) }, () => new Blip2ForConditionalGeneration(model.config));
  for (const file of files) loadLavis(expected, file, { partial: true });
  const frozen = loadLanguageModel(languageModel).namedParameters();
  let compared = 0;
  for (const [name, value] of model.namedParameters()) {
    const own = name.startsWith('language_model.')
      ? frozen.get(name.slice('language_model.'.length))
      : expected.namedParameters().get(name);
    expect([name, value.equal(own as Tensor)]).toEqual([name, true]);
    compared++;
  }
  expect(compared).toBeGreaterThan(80);
  return model;
}

test("LAVIS's .pth, the tower's own and the language model's folder become a folder that captions", async () => {
  const target = at('whole');
  const files = ['--vision-weights', lavis('eva.pth'), '--language-model', opt, '--config', at('fields.json')];
  const done = await blip2(['export', lavis('stage2.pth'), ...files, '--to', target, '--json'], room);
  expect([done.code, done.err]).toEqual([0, `written: ${target}\n`]);
  expect(JSON.parse(done.out)).toEqual({ stage: 'stage2', checkpoint: lavis('stage2.pth'), format: 'hf', target });
  const model = expectFrom(target, [lavis('eva.pth'), lavis('stage2.pth')], opt);
  const { visionConfig, qformerConfig, numQueryTokens, textConfig } = model.config;
  expect([visionConfig.imageSize, numQueryTokens, qformerConfig.numHiddenLayers, qformerConfig.crossAttentionFrequency]).toEqual([
    21, 3, 4, 2,
  ]);
  // Captions end with a line break, as LAVIS trains OPT.
  const newline = Tokenizer.fromPretrained(opt).encode('\n', { addSpecialTokens: false }).inputIds[0]?.[0];
  expect(textConfig.eosTokenId).toBe(newline);
  const photo = path.join(fixtures, 'photos/rocket.jpg');
  const flags = ['--max-new-tokens', '4', '--num-beams', '2', '--threads', '1'];
  const caption = await blip2(['caption', photo, '--model', target, ...flags], room);
  expect([caption.code, caption.err, caption.out.length > 1]).toEqual([0, '', true]);
});

test('a file with the tower in it says its shape, and needs no other; the number format is as told', () => {
  const file = weights((state) => {
    for (const [name, value] of loadTorchFile(lavis('eva.pth'))) {
      if (!/^(?:norm|head)\.|blocks\.2\./.test(name)) state.set(`visual_encoder.${name}`, value);
    }
  }, 'tuned.safetensors');
  const model = { qformerConfig: { numAttentionHeads: 4 } };
  expect(lavisRecipe(file, opt, { model }).vision).toMatchObject({
    config: { imageSize: 21, patchSize: 7, hiddenSize: 16, intermediateSize: 40, numHiddenLayers: 2, numAttentionHeads: 16 },
  });
  exportLavis({ checkpoint: file, languageModel: opt }, at('tuned'), { model });
  expectFrom(at('tuned'), [file], opt);
  exportLavis({ checkpoint: file, languageModel: opt }, at('short'), { model, dtype: 'bfloat16' });
  expect(JSON.parse(fs.readFileSync(path.join(at('short'), 'config.json'), 'utf8'))).toMatchObject({ dtype: 'bfloat16' });
});

test('T5 is run with the exact gelu, as LAVIS runs it', async () => {
  const file = weights((state) => {
    for (const part of ['weight', 'bias']) {
      state.set(`t5_proj.${part}`, state.get(`opt_proj.${part}`) as Tensor);
      state.delete(`opt_proj.${part}`);
    }
  }, 't5.safetensors');
  const files = ['--vision-weights', lavis('eva.pth'), '--language-model', t5, '--config', at('fields.json')];
  const done = await blip2(['export', file, ...files, '--to', at('flan')], room);
  expect([done.code, done.out]).toEqual([0, '']);
  expect(JSON.parse(fs.readFileSync(path.join(at('flan'), 'config.json'), 'utf8'))).toMatchObject({
    text_config: { model_type: 't5', dense_act_fn: 'gelu', is_gated_act: true },
  });
  expectFrom(at('flan'), [lavis('eva.pth'), file], t5);
});

describe('what does not fit is said', () => {
  const parts = { checkpoint: lavis('stage2.pth'), visionWeights: lavis('eva.pth'), languageModel: opt };

  test('from code', () => {
    const never = at('never');
    const first = { ...parts, checkpoint: lavis('stage1.pth') };
    expect(() => exportLavis(first, never, config)).toThrow(FileError);
    expect(() => exportLavis(first, never, config)).toThrow(
      /stage1\.pth: expected a file of LAVIS's second stage.*one of the first/,
    );
    expect(() => exportLavis({ ...parts, checkpoint: lavis('eva.pth') }, never, config)).toThrow('but it is another');
    expect(() => exportLavis({ ...parts, visionWeights: undefined }, never, config)).toThrow(ArgumentError);
    expect(() => exportLavis({ ...parts, visionWeights: undefined }, never, config)).toThrow('such as eva_vit_g.pth');
    expect(() => exportLavis({ ...parts, languageModel: '/nope' }, never, config)).toThrow('/nope: there is no such folder');
    // Of the same width, as opt-6.7b and flan-t5-xxl are.
    expect(() => exportLavis({ ...parts, languageModel: t5 }, never, config)).toThrow(
      /stage2\.pth: expected t5_proj for the t5 in .* but the file has opt_proj$/,
    );
    expect(() => exportLavis(parts, never)).toThrow(/of another shape .*for ln_vision\.weight \[1408\]/);
    expect(() => exportLavis(parts, never, { ...config, dtype: 'int8' as never })).toThrow('for run.dtype');
    expect(fs.existsSync(never)).toBe(false);
  });

  test.each<[string[], number, RegExp]>([
    [[lavis('stage2.pth')], 2, /has no language model: expected the folder .* for --language-model\n$/],
    [
      [lavis('stage2.pth'), '--language-model', 'opt', '--checkpoint', 'best'],
      2,
      /^blip2: --checkpoint is for runs, and this is a file\n$/,
    ],
    [[lavis(''), '--vision', 'x'], 2, /^blip2: --vision is for LAVIS's files, and this is none\n$/],
    [[lavis('stage2.pth'), '--language-model', 'opt'], 2, /for --vision-weights|numAttentionHeads|num-attention-heads/],
    [['/nope.pth', '--language-model', 'opt'], 1, /^blip2: \/nope\.pth: there is no such file or folder\n$/],
    [[lavis('stage2.pth'), '--language-model', './nope'], 1, /^blip2: \.\/nope: there is no such folder\n$/],
  ])('%j', async (args, code, message) => {
    const ended = await blip2(['export', ...args, '--to', at('never')], room);
    expect([ended.code, ended.out]).toEqual([code, '']);
    expect(ended.err).toMatch(message);
    expect(fs.existsSync(at('never'))).toBe(false);
  });
});
