import { cpuFeatures, hasFastBfloat16 } from '../../src/native/bfloat16.ts';
import {
  type Stage1Settings,
  type Stage2Settings,
  stage1,
  stage1Preview,
  stage2,
  stage2Preview,
} from '../../src/recipes/index.ts';
import { chosenFormats } from '../../src/recipes/number-formats.ts';

const cpu = (...flags: string[]) => `processor\t: 0\nflags\t\t: fpu avx2 ${flags.join(' ')}\nbugs\t\t:\n`;

test.each([
  ['cuda', '', true],
  ['cuda:1', '', true],
  ['cpu', cpu('avx512f', 'avx512_bf16'), true],
  ['cpu', cpu('amx_bf16', 'amx_tile'), true],
  ['cpu', cpu('avx512f'), false],
  ['cpu', 'Features\t: fp asimd bf16\n', false],
  ['cpu', '', false],
])('%s beside %j: fast in bfloat16: %s', (device, info, fast) => {
  expect(hasFastBfloat16(device, cpuFeatures(info))).toBe(fast);
});

test('what was not told is float32 on a slow device, and named', () => {
  const names = ['visionDtype', 'precision'] as const;
  expect(chosenFormats(names, {}, 'cpu', false)).toEqual({
    formats: { visionDtype: 'float32', precision: 'float32' },
    remark: 'visionDtype, precision: float32, as this cpu is not fast in bfloat16',
  });
  const told = { visionDtype: undefined, precision: 'float16' };
  expect(chosenFormats(names, told, 'cpu', false)).toEqual({
    formats: { visionDtype: 'float32' },
    remark: 'visionDtype: float32, as this cpu is not fast in bfloat16',
  });
  const nothing = { formats: {}, remark: null };
  expect(chosenFormats(names, { visionDtype: 'bfloat16', precision: 'bfloat16' }, 'cpu', false)).toEqual(nothing);
  expect(chosenFormats(names, {}, 'cpu', true)).toEqual(nothing);
  expect(chosenFormats(names, {}, 'cuda:1')).toEqual(nothing);
});

const first = { vision: 'eva-vit-g' } as Partial<Stage1Settings>;
const second = { vision: 'eva-vit-g', languageModel: 'flan-t5-xl' } as Partial<Stage2Settings>;

test('runs choose by the device where nothing is told, recipes in code do not', () => {
  const paper = { visionDtype: 'bfloat16', precision: 'bfloat16' };
  const slow = { visionDtype: 'float32', precision: 'float32' };
  expect(stage1Preview(first, { fastBfloat16: true })).toMatchObject(paper);
  expect(stage1Preview(first, { fastBfloat16: false })).toMatchObject(slow);
  expect(stage1({ vision: 'eva-vit-g' })).toMatchObject(paper);
  expect(stage2Preview(second, { fastBfloat16: true })).toMatchObject({ ...paper, languageModelDtype: 'bfloat16' });
  expect(stage2Preview(second, { fastBfloat16: false })).toMatchObject({ ...slow, languageModelDtype: 'float32' });
  expect(stage2({ vision: 'eva-vit-g', languageModel: 'flan-t5-xl' })).toMatchObject({
    ...paper,
    languageModelDtype: 'bfloat16',
  });
});

test('what is told holds on any device', () => {
  const told = { visionDtype: 'bfloat16', precision: 'float16' } as const;
  expect(stage1Preview({ ...first, ...told }, { fastBfloat16: false })).toMatchObject(told);
  expect(stage2Preview({ ...second, ...told }, { fastBfloat16: false })).toMatchObject({
    ...told,
    languageModelDtype: 'float32',
  });
  expect(stage1Preview({ ...first, visionDtype: 'float32' }, { fastBfloat16: true })).toMatchObject({
    visionDtype: 'float32',
    precision: 'bfloat16',
  });
});
