import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  ArgumentError,
  callOperator,
  type Dtype,
  FileError,
  loadSafetensors,
  memory,
  openSafetensors,
  saveSafetensors,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '../../src/index.ts';

const fixtures = path.resolve('test/fixtures/safetensors');
const everyDtype = path.join(fixtures, 'every-dtype.safetensors');
let folder: string;

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'safetensors-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

const bytes = (value: Tensor): string => {
  const as = value.numel === 0 ? value : (callOperator('view.dtype', value.reshape(-1), 'uint8') as Tensor);
  return Buffer.from(as.data() as Uint8Array).toString('hex');
};

test('what Python wrote is read, in every dtype', () => {
  const read = loadSafetensors(everyDtype);
  const base = [0, 1, 2, 3, 64, 127];
  const whole: Dtype[] = ['uint8', 'int8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64'];
  for (const dtype of whole) {
    const got = read.get(dtype) as Tensor;
    expect([got.dtype, got.shape]).toEqual([dtype, [2, 3]]);
    expect(Array.from(got.data() as ArrayLike<number | bigint>, Number)).toEqual(base);
  }
  for (const dtype of ['float16', 'bfloat16', 'float32', 'float64'] as const) {
    const got = read.get(dtype) as Tensor;
    expect(got.dtype).toBe(dtype);
    expect(Array.from(got.to('float64').data() as Float64Array)).toEqual(base.map((value) => value / 8 - 1));
  }
  for (const dtype of ['float8_e5m2', 'float8_e4m3fn', 'float8_e8m0fnu', 'float8_e5m2fnuz', 'float8_e4m3fnuz'] as const) {
    const got = read.get(dtype) as Tensor;
    expect(got.dtype).toBe(dtype);
    expect(got.to('float32').toArray()).toEqual([0.5, 1, 2, 4]);
  }
  const packed = read.get('float4_e2m1fn_x2') as Tensor;
  expect([packed.dtype, packed.shape]).toEqual(['float4_e2m1fn_x2', [2, 3]]);
  expect(packed.data()).toEqual(Uint8Array.of(0x10, 0x32, 0x7f, 0x80, 0x9a, 0x05));
  expect(String(packed)).toBe('tensor([[ 16.,  50., 127.],\n        [128., 154.,   5.]], dtype=torch.float4_e2m1fn_x2)');
  expect(() => packed.toArray()).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT', argument: 'tensor' }));
  expect(Array.from((read.get('bool') as Tensor).data() as Uint8Array)).toEqual([0, 0, 0, 1, 1, 1]);
  const parts = callOperator('view_as_real', read.get('complex64') as Tensor) as Tensor;
  expect(parts.toArray()).toEqual([0, 3].map((from) => base.slice(from, from + 3).map((value) => [value, -value])));
  expect((read.get('scalar') as Tensor).item()).toBe(3.25);
  expect((read.get('empty') as Tensor).shape).toEqual([0, 4]);
  expect((read.get('name "quoted" \\ with é, 日本, 🚢 and\ttab') as Tensor).toArray()).toEqual([1, 2]);
});

test('what is saved is what Python wrote, byte for byte', () => {
  const file = path.join(folder, 'same.safetensors');
  const read = [...loadSafetensors(everyDtype)];
  saveSafetensors(file, new Map(read.reverse()));
  expect(fs.readFileSync(file).equals(fs.readFileSync(everyDtype))).toBe(true);
  expect(fs.readdirSync(folder)).toEqual(['same.safetensors']);
});

test('views, whatever their strides, are saved by their values', () => {
  const file = path.join(folder, 'views.safetensors');
  const matrix = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  const complex = callOperator('view_as_complex', tensor([[1, 2]])) as Tensor;
  saveSafetensors(file, {
    transposed: matrix.transpose(0, 1),
    column: matrix.narrow(1, 1, 1),
    expanded: tensor([7]).expand(3, 1),
    conjugated: callOperator('conj', complex) as Tensor,
  });
  const read = loadSafetensors(file);
  expect(read.get('transposed')?.toArray()).toEqual([
    [1, 4],
    [2, 5],
    [3, 6],
  ]);
  expect(read.get('column')?.toArray()).toEqual([[2], [5]]);
  expect(read.get('expanded')?.toArray()).toEqual([[7], [7], [7]]);
  expect((callOperator('view_as_real', read.get('conjugated') as Tensor) as Tensor).toArray()).toEqual([[1, -2]]);
});

test('shards are one: by folder, by index, lazily', () => {
  for (const source of [path.join(fixtures, 'shards'), path.join(fixtures, 'shards/model.safetensors.index.json')]) {
    const opened = openSafetensors(source);
    const order = [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 8, 9]; // inside a file by name
    expect(opened.names).toEqual(order.map((i) => `layer.${i}.weight`));
    expect(opened.metadata).toEqual(new Map([['format', 'pt']]));
    expect(opened.info('layer.9.weight')).toEqual({
      dtype: 'float32',
      storedDtype: 'F32',
      shape: [8, 16],
      bytes: 512,
      file: path.join(fixtures, 'shards/model-00003-of-00003.safetensors'),
    });
    expect(opened.get('layer.11.weight').shape).toEqual([8, 16]);
    opened.close();
  }
});

test('saving in shards splits and names as Hugging Face does, and removes what an earlier save left', () => {
  const target = path.join(folder, 'model');
  fs.mkdirSync(target);
  const file = path.join(target, 'model.safetensors');
  const shards = path.join(fixtures, 'shards');
  const tensors = loadSafetensors(shards);
  saveSafetensors(file, tensors, { maxShardBytes: 1e9 });
  expect(fs.readdirSync(target)).toEqual(['model.safetensors']);
  saveSafetensors(file, tensors, { maxShardBytes: 2048 });
  expect(fs.readdirSync(target)).toEqual(fs.readdirSync(shards));
  for (const name of fs.readdirSync(shards)) {
    const [ours, theirs] = [target, shards].map((at) => fs.readFileSync(path.join(at, name)));
    if (name.endsWith('.json')) expect(JSON.parse(String(ours))).toEqual(JSON.parse(String(theirs)));
    else expect(ours?.equals(theirs as Buffer)).toBe(true);
  }
  saveSafetensors(file, { small: zeros([1]), large: zeros([1000]) }, { maxShardBytes: 100 });
  expect(fs.readdirSync(target)).toEqual([
    'model-00001-of-00002.safetensors',
    'model-00002-of-00002.safetensors',
    'model.safetensors.index.json',
  ]);
  expect([...loadSafetensors(target).keys()]).toEqual(['small', 'large']);
});

test('copyInto casts into a tensor that is there, of any strides', () => {
  const opened = openSafetensors(everyDtype);
  const target = zeros([3, 2], { dtype: 'float64' });
  opened.copyInto('bfloat16', target.transpose(0, 1));
  expect(target.transpose(0, 1).toArray()).toEqual(opened.get('float32').toArray());
  const parameter = zeros([2, 3]).requiresGrad_();
  opened.copyInto('int64', parameter);
  expect(parameter.toArray()).toEqual(opened.get('int32').toArray());
  opened.copyInto('empty', zeros([0, 4]));
  expect(() => opened.copyInto('int64', zeros([3, 2]))).toThrow(/shape \[2,3\].*received \[3,2\]/);
  opened.close();
});

test('copyInto holds no more than a chunk of the file in memory', () => {
  const file = path.join(folder, 'large.safetensors');
  saveSafetensors(file, { weight: zeros([64, 2 ** 20]) });
  const run = `
    const { openSafetensors, zeros } = await import(${JSON.stringify(path.resolve('dist/index.js'))});
    const target = zeros([64, 2 ** 20], { dtype: 'int8' });
    target.fill_(1);
    const opened = openSafetensors(${JSON.stringify(file)});
    const before = process.resourceUsage().maxRSS;
    opened.copyInto('weight', target);
    console.log(process.resourceUsage().maxRSS - before);`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', run], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(Number(stdout)).toBeLessThan(64 * 1024); // KiB; the file has 256 MiB
  fs.rmSync(file);
});

test('a tensor outlives its closed file, and its own changes stay in memory', () => {
  const file = path.join(folder, 'private.safetensors');
  saveSafetensors(file, { x: tensor([1, 2]) });
  const opened = openSafetensors(file);
  const x = opened.get('x');
  x.add_(tensor([1, 1]));
  const copy = zeros([2]);
  opened.copyInto('x', copy);
  opened.close();
  opened.close();
  expect(x.toArray()).toEqual([2, 3]);
  expect(loadSafetensors(file).get('x')?.toArray()).toEqual([1, 2]);
  expect(() => opened.get('x')).toThrow(FileError);
  expect(() => opened.copyInto('x', copy)).toThrow(/private\.safetensors: has been closed/);
  expect(() => opened.get('y')).toThrow(ArgumentError);
});

test('a file may be replaced by a save while its tensors are in use', () => {
  const file = path.join(folder, 'replaced.safetensors');
  saveSafetensors(file, { x: tensor([1, 2]) });
  const x = loadSafetensors(file).get('x') as Tensor;
  saveSafetensors(file, { x: x.mul(tensor([10, 10])), y: x });
  expect(x.toArray()).toEqual([1, 2]);
  expect([...loadSafetensors(file)].map(([name, value]) => [name, value.toArray()])).toEqual([
    ['x', [10, 20]],
    ['y', [1, 2]],
  ]);
});

test('what cannot be saved is refused, and leaves nothing behind', () => {
  const inside = path.join(folder, 'refused');
  fs.mkdirSync(inside);
  const file = path.join(inside, 'x.safetensors');
  const complex = callOperator('view_as_complex', tensor([[1, 2]], { dtype: 'float64' })) as Tensor;
  expect(() => saveSafetensors(file, { complex })).toThrow(/tensors\["complex"\] but received complex128/);
  expect(() => saveSafetensors(file, { x: zeros([2], { device: 'meta' }) })).toThrow(/meta device/);
  expect(() => saveSafetensors(file, { __metadata__: zeros([2]) })).toThrow(ArgumentError);
  expect(() => saveSafetensors(file, { x: 1 as unknown as Tensor })).toThrow(ArgumentError);
  expect(() => saveSafetensors(file, {}, { metadata: { n: 1 as unknown as string } })).toThrow(ArgumentError);
  expect(() => saveSafetensors(path.join(inside, 'no/x.safetensors'), {})).toThrow(/cannot be written: ENOENT/);
  expect(() => saveSafetensors(inside, { x: zeros([2]) })).toThrow(FileError);
  expect(fs.readdirSync(inside)).toEqual([]);
});

test('reading and saving leave no tensors behind', () => {
  const before = memory().tensors;
  scope(() => {
    const read = loadSafetensors(everyDtype);
    saveSafetensors(path.join(folder, 'leak.safetensors'), read);
    expect([...read.values()].map(bytes)).toEqual(
      [...loadSafetensors(path.join(folder, 'leak.safetensors')).values()].map(bytes),
    );
  });
  expect(memory().tensors).toBe(before);
});
