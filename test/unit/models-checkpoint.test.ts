import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  ArgumentError,
  Blip2ForConditionalGeneration,
  Blip2ForImageTextRetrieval,
  type Dtype,
  FileError,
  type LoadOptions,
  loadSafetensors,
  noGrad,
  type OptForCausalLM,
  openSafetensors,
  type SavePretrainedOptions,
  StateDictError,
  saveSafetensors,
  scope,
  type Tensor,
  zeros,
} from '../../src/index.ts';

const fixtures = path.join(import.meta.dirname, '../fixtures/hf');
const opt = path.join(fixtures, 'opt');
const HEAD = 'language_model.lm_head.weight';
const WORDS = 'language_model.model.decoder.embed_tokens.weight';

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-checkpoint-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

/** A copy of the OPT checkpoint, its tensors and configuration changed. */
function changed(change: (tensors: Map<string, Tensor>, config: Record<string, unknown>) => void): string {
  const config = JSON.parse(fs.readFileSync(path.join(opt, 'config.json'), 'utf8')) as Record<string, unknown>;
  const tensors = loadSafetensors(opt);
  change(tensors, config);
  fs.writeFileSync(path.join(folder, 'config.json'), JSON.stringify(config));
  saveSafetensors(path.join(folder, 'model.safetensors'), tensors);
  return folder;
}

function failure(body: () => unknown): unknown {
  try {
    body();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

const dtypes = (model: { stateDict(): Map<string, Tensor> }): Map<string, Dtype> =>
  new Map([...model.stateDict()].map(([name, { dtype }]) => [name, dtype]));

describe("names and files are Hugging Face's", () => {
  test.each([
    ['opt', Blip2ForConditionalGeneration],
    ['t5', Blip2ForConditionalGeneration],
    ['itm', Blip2ForImageTextRetrieval],
  ])('%s', (name, Model) => {
    const theirs = path.join(fixtures, name);
    const model = Model.fromPretrained(theirs, { dtype: 'auto' });
    const file = openSafetensors(theirs);
    expect([...model.stateDict().keys()].sort()).toEqual([...file.names].sort());
    file.close();

    const ours = path.join(folder, 'saved');
    model.savePretrained(ours);
    const weights = (at: string): Buffer => fs.readFileSync(path.join(at, 'model.safetensors'));
    expect(weights(ours).equals(weights(theirs))).toBe(true);
    const read = (at: string, json: string): Record<string, unknown> => JSON.parse(fs.readFileSync(path.join(at, json), 'utf8'));
    const config = read(ours, 'config.json');
    const theirConfig = read(theirs, 'config.json');
    for (const field of ['architectures', 'dtype', 'model_type', 'num_query_tokens', 'image_token_index']) {
      expect(config[field]).toEqual(theirConfig[field]);
    }
    if (name !== 'itm') expect(read(theirs, 'generation_config.json')).toMatchObject(read(ours, 'generation_config.json'));
    expect(fs.readdirSync(folder)).toEqual(['saved']);
  });
});

test("config.json has fractions where Hugging Face's loader insists on them", () => {
  const at = path.join(folder, 'saved');
  Blip2ForConditionalGeneration.fromPretrained(opt).savePretrained(at);
  expect(fs.readFileSync(path.join(at, 'config.json'), 'utf8')).toContain('"initializer_factor": 1.0,');
});

describe('dtypes', () => {
  test('float16 leaves queries and Q-Former in float32, bfloat16 leaves nothing', () => {
    for (const [name, dtype] of dtypes(Blip2ForConditionalGeneration.fromPretrained(opt, { dtype: 'float16' }))) {
      expect(dtype).toBe(name === 'query_tokens' || name.startsWith('qformer.') ? 'float32' : 'float16');
    }
    const itm = path.join(fixtures, 'itm');
    for (const [name, dtype] of dtypes(Blip2ForImageTextRetrieval.fromPretrained(itm, { dtype: 'float16' }))) {
      expect(dtype).toBe(name === 'query_tokens' || name.startsWith('qformer.') ? 'float32' : 'float16');
    }
    const brain = dtypes(Blip2ForConditionalGeneration.fromPretrained(opt, { dtype: 'bfloat16' }));
    expect(new Set(brain.values())).toEqual(new Set(['bfloat16']));
  });

  test('a dtype that no model computes in is the argument that is wrong', () => {
    const error = failure(() => Blip2ForConditionalGeneration.fromPretrained('nowhere', { dtype: 'int64' }));
    expect(error).toBeInstanceOf(ArgumentError);
    expect(error).toMatchObject({ argument: 'dtype', received: '"int64"' });
  });

  test("'auto' is what config.json names", () => {
    for (const field of ['dtype', 'torch_dtype']) {
      const at = changed((_, config) => {
        delete config.dtype;
        config[field] = 'bfloat16';
      });
      const model = Blip2ForConditionalGeneration.fromPretrained(at, { dtype: 'auto' });
      expect(model.queryTokens.dtype).toBe('bfloat16');
      expect(Blip2ForConditionalGeneration.fromPretrained(at).queryTokens.dtype).toBe('float32');
    }
    const odd = changed((_, config) => Object.assign(config, { dtype: 'int8' }));
    expect(failure(() => Blip2ForConditionalGeneration.fromPretrained(odd, { dtype: 'auto' }))).toBeInstanceOf(FileError);
  });

  test('a bfloat16 model runs, and is saved and read as one', () => {
    const model = Blip2ForConditionalGeneration.fromPretrained(opt, { dtype: 'bfloat16' });
    const at = path.join(folder, 'brain');
    model.savePretrained(at);
    const again = Blip2ForConditionalGeneration.fromPretrained(at, { dtype: 'auto' });
    scope(() => {
      const pixels = zeros([1, 3, 28, 28]);
      expect(again.encodeImages(pixels).dtype).toBe('bfloat16');
      expect(again.encodeImages(pixels).equal(model.encodeImages(pixels))).toBe(true);
    });
  });
});

describe('what a file may have more or less of', () => {
  test.each<[string, (tensors: Map<string, Tensor>) => void]>([
    ['the output table besides', (tensors) => tensors.set(HEAD, tensors.get(WORDS) as Tensor)],
    [
      'the output table alone',
      (tensors) => {
        tensors.set(HEAD, tensors.get(WORDS) as Tensor);
        tensors.delete(WORDS);
      },
    ],
    [
      'buffers of old versions',
      (tensors) => {
        tensors.set('embeddings.position_ids', zeros([1, 512], { dtype: 'int64' }));
        tensors.set('language_model.decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight', zeros([32, 4]));
      },
    ],
  ])('%s', (_, change) => {
    const model = Blip2ForConditionalGeneration.fromPretrained(changed(change));
    const words = (model.languageModel as OptForCausalLM).model.decoder.embedTokens.weight;
    expect(words.equal(loadSafetensors(opt).get(WORDS) as Tensor)).toBe(true);
    expect(model.training).toBe(false);
  });

  test('an output table of its own, where the configuration says so', () => {
    const at = changed((tensors, config) => {
      tensors.set(HEAD, (tensors.get(WORDS) as Tensor).mul(2));
      config.text_config = { ...(config.text_config as object), tie_word_embeddings: false };
    });
    const model = Blip2ForConditionalGeneration.fromPretrained(at);
    const { embedTokens } = (model.languageModel as OptForCausalLM).model.decoder;
    expect(model.languageModel.lmHead?.weight.equal(embedTokens.weight.mul(2))).toBe(true);
  });

  test('several files', () => {
    const model = Blip2ForConditionalGeneration.fromPretrained(opt);
    const at = path.join(folder, 'shards');
    model.savePretrained(at, { maxShardBytes: 200_000 });
    expect(fs.readdirSync(at).filter((name) => name.endsWith('.safetensors')).length).toBeGreaterThan(3);
    const again = Blip2ForConditionalGeneration.fromPretrained(at);
    for (const [name, tensor] of again.stateDict()) expect(tensor.equal(model.stateDict().get(name) as Tensor)).toBe(true);
  });
});

describe('what does not fit is named, with the file', () => {
  test('names and shapes', () => {
    const at = changed((tensors) => {
      tensors.delete('query_tokens');
      tensors.set('qformer.extra', zeros([1]));
      tensors.set('language_projection.bias', zeros([35]));
    });
    const error = failure(() => Blip2ForConditionalGeneration.fromPretrained(at)) as StateDictError;
    expect(error).toBeInstanceOf(StateDictError);
    expect(error.missing).toEqual(['query_tokens']);
    expect(error.unexpected).toEqual(['qformer.extra']);
    expect(error.mismatched).toEqual(['language_projection.bias [35] for [36]']);
    expect(error.message).toContain(at);
  });

  test('a field of config.json', () => {
    const at = changed((_, config) => Object.assign(config, { num_query_tokens: 'six' }));
    const error = failure(() => Blip2ForConditionalGeneration.fromPretrained(at)) as FileError;
    expect(error).toBeInstanceOf(FileError);
    expect(error.file).toBe(path.join(at, 'config.json'));
    expect(error.message).toContain('num_query_tokens');
  });

  test('a file that is not there or is cut off', () => {
    expect(failure(() => Blip2ForConditionalGeneration.fromPretrained(path.join(folder, 'none')))).toBeInstanceOf(FileError);
    const at = changed(() => {});
    fs.truncateSync(path.join(at, 'model.safetensors'), 100_000);
    expect(failure(() => Blip2ForConditionalGeneration.fromPretrained(at))).toBeInstanceOf(FileError);
  });
});

test('an empty path is refused, not taken for the working directory', () => {
  const wrong = expect.objectContaining({ name: 'ArgumentError', argument: 'directory' });
  expect(failure(() => Blip2ForConditionalGeneration.fromPretrained(''))).toEqual(wrong);
  const model = Blip2ForConditionalGeneration.fromPretrained(opt);
  expect(failure(() => model.savePretrained(''))).toEqual(wrong);
  expect(fs.existsSync('config.json')).toBe(false);
});

test('options of loading that there are not are refused', () => {
  const options = { dType: 'bfloat16' } as unknown as LoadOptions;
  expect(failure(() => Blip2ForConditionalGeneration.fromPretrained(opt, options))).toMatchObject({
    argument: 'options',
    expected: expect.stringContaining('dtype'),
    received: expect.stringContaining('dType'),
  });
});

describe('weights over the file’s pages', () => {
  test('are those that are copied, change without the file, and outlive it', () => {
    const at = path.join(folder, 'model');
    const copied = Blip2ForConditionalGeneration.fromPretrained(opt);
    copied.savePretrained(at);
    const file = path.join(at, 'model.safetensors');
    const before = fs.readFileSync(file);
    const model = Blip2ForConditionalGeneration.fromPretrained(at, { mapped: true });
    scope(() => noGrad(() => model.queryTokens.add_(1)));
    expect(fs.readFileSync(file).equals(before)).toBe(true);
    copied.savePretrained(at); // replaces the file under the weights
    fs.rmSync(at, { recursive: true });
    for (const [name, weight] of copied.stateDict()) {
      const expected = name === 'query_tokens' ? scope(() => weight.detach().add(1).toArray()) : weight.toArray();
      expect(model.stateDict().get(name)?.toArray()).toEqual(expected);
    }
    expect(model.queryTokens.requiresGrad).toBe(true);
  });

  test('are copied where the file has another dtype', () => {
    const model = Blip2ForConditionalGeneration.fromPretrained(opt, { dtype: 'bfloat16', mapped: true });
    const all = Blip2ForConditionalGeneration.fromPretrained(opt, { dtype: 'bfloat16' });
    for (const [name, weight] of all.stateDict()) expect(model.stateDict().get(name)?.equal(weight)).toBe(true);
  });
});

describe('saving over an earlier checkpoint', () => {
  test('replaces it, files of another split included, and leaves other files alone', () => {
    const model = Blip2ForConditionalGeneration.fromPretrained(opt);
    const at = path.join(folder, 'model');
    model.savePretrained(at, { maxShardBytes: 200_000 });
    fs.writeFileSync(path.join(at, 'tokenizer.json'), '{}');
    scope(() => model.queryTokens.detach().fill_(7));
    model.savePretrained(at);
    expect(fs.readdirSync(at).sort()).toEqual(['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json']);
    expect(Blip2ForConditionalGeneration.fromPretrained(at).queryTokens.mean().item()).toBe(7);
  });

  test('that fails leaves the earlier one as it was', () => {
    const model = Blip2ForConditionalGeneration.fromPretrained(opt);
    const at = path.join(folder, 'model');
    model.savePretrained(at);
    fs.rmSync(path.join(at, 'model.safetensors'));
    fs.mkdirSync(path.join(at, 'model.safetensors')); // in the way of the new file
    const before = fs.readFileSync(path.join(at, 'config.json'), 'utf8');
    fs.writeFileSync(path.join(at, 'config.json'), `${before}\n`);
    expect(failure(() => model.savePretrained(at))).toBeInstanceOf(FileError);
    expect(fs.readFileSync(path.join(at, 'config.json'), 'utf8')).toBe(`${before}\n`);
    expect(fs.readdirSync(at).sort()).toEqual(['config.json', 'generation_config.json', 'model.safetensors']);
  });

  describe.each<[string, SavePretrainedOptions, SavePretrainedOptions]>([
    ['one file over one', {}, {}],
    ['several over as many', { maxShardBytes: 600_000 }, { maxShardBytes: 600_000 }],
  ])('%s', (_, first, second) => {
    /** Saves over an earlier model while the file system fails as told; gives how many moves were made, and what is there afterwards. */
    function saved(fails: (move: number) => 'once' | 'for ever' | undefined) {
      const model = Blip2ForConditionalGeneration.fromPretrained(opt);
      const at = path.join(folder, 'model');
      fs.rmSync(at, { recursive: true, force: true });
      scope(() => model.queryTokens.detach().fill_(1));
      scope(() => model.languageProjection.bias?.detach().fill_(1));
      model.savePretrained(at, first);
      fs.writeFileSync(path.join(at, 'tokenizer.json'), '{}');
      scope(() => model.queryTokens.detach().fill_(2));
      scope(() => model.languageProjection.bias?.detach().fill_(2));
      let moves = 0;
      let dead = false;
      const broken =
        <A extends unknown[], R>(does: (...args: A) => R, counts: boolean) =>
        (...args: A): R => {
          if (counts && !dead) {
            const how = fails(++moves);
            dead = how === 'for ever';
            if (how !== undefined) throw new Error('EIO: injected');
          }
          if (dead) throw new Error('EIO: injected');
          return does(...args);
        };
      const { renameSync, rmSync, rmdirSync } = fs;
      Object.assign(fs, {
        renameSync: broken(renameSync, true),
        rmSync: broken(rmSync, false),
        rmdirSync: broken(rmdirSync, false),
      });
      let error: unknown;
      try {
        model.savePretrained(at, second);
      } catch (thrown) {
        error = thrown;
      } finally {
        Object.assign(fs, { renameSync, rmSync, rmdirSync });
      }
      const loaded = (): unknown => {
        const again = Blip2ForConditionalGeneration.fromPretrained(at);
        const values = [again.queryTokens.mean().item(), again.languageProjection.bias?.mean().item()];
        again.dispose();
        return values;
      };
      return { moves, error, at, loaded };
    }

    test('where a move fails, the earlier one is still there', () => {
      const { moves } = saved(() => undefined);
      expect(moves).toBeGreaterThan(6);
      for (let failing = 1; failing <= moves; failing++) {
        const { error, loaded, at } = saved((move) => (move === failing ? 'once' : undefined));
        expect(error).toBeInstanceOf(FileError);
        expect([failing, loaded()]).toEqual([failing, [1, 1]]);
        expect(fs.readdirSync(at).filter((name) => name.startsWith('.'))).toEqual([]);
      }
    });

    test('a process that ends within it leaves the one, the other, or none', () => {
      const { moves } = saved(() => undefined);
      const seen = new Set<string>();
      for (let failing = 1; failing <= moves; failing++) {
        const { loaded, at } = saved((move) => (move === failing ? 'for ever' : undefined));
        const whole = fs.existsSync(path.join(at, 'config.json'));
        if (whole) expect([failing, loaded()]).toEqual([failing, [1, 1]]);
        else expect(loaded).toThrow(/config\.json/);
        seen.add(String(whole));
        // The next save succeeds.
        const model = Blip2ForConditionalGeneration.fromPretrained(opt);
        scope(() => model.queryTokens.detach().fill_(3));
        model.savePretrained(at);
        expect(Blip2ForConditionalGeneration.fromPretrained(at).queryTokens.mean().item()).toBe(3);
        expect(fs.existsSync(path.join(at, 'tokenizer.json'))).toBe(true);
      }
      expect(seen.size).toBe(2);
    });
  });

  test('a model of another class leaves nothing of it', () => {
    const at = path.join(folder, 'model');
    fs.mkdirSync(at);
    for (const name of ['pretraining.json', 'pretraining.safetensors', 'notes.txt']) fs.writeFileSync(path.join(at, name), '{}');
    Blip2ForConditionalGeneration.fromPretrained(opt).savePretrained(at);
    expect(fs.readdirSync(at).sort()).toEqual(['config.json', 'generation_config.json', 'model.safetensors', 'notes.txt']);
  });

  test('a new folder appears whole or not at all', () => {
    const model = Blip2ForConditionalGeneration.fromPretrained(opt);
    model.queryTokens.setData(model.queryTokens.to({ device: 'meta' }));
    expect(failure(() => model.savePretrained(path.join(folder, 'new')))).toBeInstanceOf(ArgumentError);
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  test('below a file is a FileError', () => {
    const model = Blip2ForConditionalGeneration.fromPretrained(opt);
    expect(failure(() => model.savePretrained(path.join(opt, 'config.json', 'new')))).toBeInstanceOf(FileError);
  });
});
