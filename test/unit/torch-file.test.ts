import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  ArgumentError,
  ClipVisionModel,
  callOperator,
  FileError,
  loadSafetensors,
  loadTorchFile,
  memory,
  openSafetensors,
  openTorchFile,
  openWeights,
  scope,
  type Tensor,
  zeros,
} from '../../src/index.ts';
import { torchFileOf } from '../support/pickle.ts';

// Files that torch.save wrote, and what Python read from them (scripts/oracle/torch_files.py).
const fixtures = path.join(import.meta.dirname, '../fixtures/torch');
const at = (name: string): string => path.join(fixtures, name);
const expected = loadSafetensors(at('expected.safetensors'));
const facts = openSafetensors(at('expected.safetensors')).metadata.get('facts') as string;

/** The tensors of the golden under this heading, by their own names. */
function golden(heading: string): Map<string, Tensor> {
  const own = [...expected].filter(([name]) => name.startsWith(`${heading}:`));
  return new Map(own.map(([name, tensor]) => [name.slice(heading.length + 1), tensor]));
}

/** The values as JavaScript has them; two numbers for a complex one. */
function values(tensor: Tensor): unknown {
  return scope(() => {
    if (tensor.dtype.startsWith('complex')) return (callOperator('view_as_real', tensor) as Tensor).toArray();
    return tensor.dtype.startsWith('float8') ? tensor.float().toArray() : tensor.toArray();
  });
}

test.each(['every-dtype', 'views', 'nested', 'shards'])('%s: names, dtypes, shapes and values are as Python has them', (name) => {
  const tensors = loadTorchFile(at(name === 'shards' ? name : `${name}.pth`));
  const wanted = golden(name);
  expect([...tensors.keys()].sort()).toEqual([...wanted.keys()].sort());
  for (const [key, tensor] of tensors) {
    const other = wanted.get(key) as Tensor;
    if (key === 'complex128') expect(values(tensor)).toEqual(other.toArray());
    else {
      expect([key, tensor.dtype, tensor.shape]).toEqual([key, other.dtype, other.shape]);
      expect(values(tensor)).toEqual(values(other));
    }
  }
});

test.each(['views.legacy', 'nested.legacy', 'nested.protocol3', 'nested.protocol4', 'nested.protocol5'])(
  '%s holds what the usual file does',
  (name) => {
    const [usual, other] = [`${name.split('.')[0]}.pth`, `${name}.pth`].map((file) => openTorchFile(at(file)));
    if (usual === undefined || other === undefined) throw new Error('two files');
    expect(other.names).toEqual(usual.names);
    expect(other.scalars).toEqual(usual.scalars);
    for (const key of usual.names) {
      expect({ ...other.info(key), file: '' }).toEqual({ ...usual.info(key), file: '' });
      expect(other.get(key).toArray()).toEqual(usual.get(key).toArray());
    }
  },
);

test('plain values have names like the tensors', () => {
  const { scalars } = openTorchFile(at('nested.pth'));
  expect(Object.fromEntries([...scalars].filter(([name]) => !name.startsWith('optimizer.')))).toEqual({
    epoch: 3,
    best: -1.5,
    done: false,
    nothing: null,
    wide: 2 ** 40,
    wider: 2n ** 70n,
    negative: -(2 ** 33),
    text: 'é, 日本 and 🚢',
    bytes: '\0ÿ',
    'shape.0': 2,
    'shape.1': 3,
    device: 'cpu',
    dtype: 'torch.bfloat16',
    'tuple.0': 1,
    'tuple.1': 2,
    'tuple.2.0': 3,
    'tuple.2.1': 4,
    'tuple.2.2': 5,
    'tuple.2.3': 6,
    'set.0': 5,
    'counter.a': 2,
    'counter.b': 1,
    'same list twice.0.0': 1,
    'same list twice.1.0': 1,
  });
  expect(scalars.get('optimizer.param_groups.0.betas.1')).toBe(0.999);
});

test('views have their strides, and share memory as they did', () => {
  const opened = openTorchFile(at('views.pth'));
  const { strides } = JSON.parse(facts) as { strides: Record<string, number[]> };
  for (const [name, wanted] of Object.entries(strides)) {
    expect([name, opened.info(name).strides]).toEqual([name, wanted]);
    // Where there is one element or none on the way, nobody can tell.
    if (!['nothing', 'one'].includes(name)) expect([name, opened.get(name).strides]).toEqual([name, wanted]);
  }
  opened.get('twin').fill_(7);
  expect(opened.get('columns').toArray()).toEqual(new Array(4).fill([7, 7]));
  expect(opened.get('other').mean().item()).toBe(11.5);
  expect(loadTorchFile(at('views.pth')).get('row')?.toArray()).toEqual([12, 13, 14, 15, 16, 17]);
});

test('copyInto casts into what may be strided itself, and leaves shapes alone', () => {
  using opened = openTorchFile(at('views.pth'));
  for (const name of opened.names) {
    const { shape } = opened.info(name);
    const target = zeros([...shape].reverse(), { dtype: 'float64' });
    opened.copyInto(name, target.permute(...[...shape.keys()].reverse()));
    expect(target.permute(...[...shape.keys()].reverse()).toArray()).toEqual(expected.get(`views:${name}`)?.toArray());
  }
  expect(() => opened.copyInto('row', zeros([5]))).toThrow(ArgumentError);
  expect(() => opened.get('gone')).toThrow(/expected a tensor of .*views.pth for name but received "gone"/);
});

test('a lone tensor has no name', () => {
  const opened = openTorchFile(at('lone.pt'));
  expect(opened.names).toEqual(['']);
  expect(opened.get('').shape).toEqual([24]);
});

test('a closed file gives nothing more, but what it gave stays', () => {
  const opened = openTorchFile(at('views.pth'));
  const row = opened.get('row');
  opened.close();
  opened.close();
  expect(() => opened.get('row')).toThrow(FileError);
  expect(row.toArray()).toEqual([12, 13, 14, 15, 16, 17]);
});

test('weights are opened by name or by what a folder has', () => {
  expect(openWeights(at('views.pth')).names).toHaveLength(14);
  expect(openWeights(at('shards')).names).toHaveLength(7);
  expect(openWeights(at('shards/pytorch_model.bin.index.json')).info('tied.weight').dtype).toBe('bfloat16');
  expect(openWeights(at('expected.safetensors')).names).toHaveLength(expected.size);
  expect(openWeights(path.join(fixtures, '../safetensors/shards')).names).toHaveLength(12);
  const empty = fs.mkdtempSync(path.join(tmpdir(), 'blip2-empty-'));
  expect(() => openWeights(empty)).toThrow(
    /model.safetensors, .*, pytorch_model.bin or pytorch_model.bin.index.json in the folder/,
  );
  fs.rmdirSync(empty);
});

test('a model reads a folder that has pytorch_model.bin, in one file or several', () => {
  const source = path.join(fixtures, '../hf/clip');
  const folder = fs.mkdtempSync(path.join(tmpdir(), 'blip2-clip-'));
  fs.copyFileSync(path.join(source, 'config.json'), path.join(folder, 'config.json'));
  const tensors = [...loadSafetensors(source)];
  const expected = ClipVisionModel.fromPretrained(source).stateDict();
  const expectSame = (): void => {
    const model = ClipVisionModel.fromPretrained(folder);
    for (const [name, value] of model.stateDict())
      expect([name, value.equal(expected.get(name) as Tensor)]).toEqual([name, true]);
  };
  fs.writeFileSync(path.join(folder, 'pytorch_model.bin'), torchFileOf(tensors));
  expectSame();
  fs.rmSync(path.join(folder, 'pytorch_model.bin'));
  const halves = [tensors.slice(0, 9), tensors.slice(9)];
  for (const [i, half] of halves.entries()) fs.writeFileSync(path.join(folder, `pytorch_model-${i}.bin`), torchFileOf(half));
  const places = halves.flatMap((half, i) => half.map(([name]) => [name, `pytorch_model-${i}.bin`]));
  fs.writeFileSync(path.join(folder, 'pytorch_model.bin.index.json'), JSON.stringify({ weight_map: Object.fromEntries(places) }));
  expectSame();
  fs.rmSync(folder, { recursive: true });
});

test('reading leaves nothing alive', () => {
  const before = memory().tensors;
  for (let i = 0; i < 20; i++) scope(() => void loadTorchFile(at('views.pth')));
  expect(memory().tensors).toBe(before);
});
