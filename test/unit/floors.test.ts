import { importsOf, type Source, sources } from '../support/sources.ts';

// The house, from the ground up: a folder may import what lies on a lower floor, and itself.
const floors = [
  ['native'],
  ['tensor', 'hub'],
  ['nn', 'optim', 'dist', 'generate'],
  ['losses', 'models', 'data'],
  ['objectives', 'pipeline'],
  ['tasks', 'train'],
  ['recipes'],
  ['cli'],
  ['index.ts'],
];
// The same inside models/, where what several models share lies on the ground.
const modelFloors = [
  ['fields.ts', 'renaming.ts'],
  ['checkpoint.ts', 'transfer.ts'],
  ['vision', 'qformer', 'opt', 't5'],
  ['blip2'],
  ['index.ts'],
];

function floorOf(plan: string[][], name: string): number {
  return plan.findIndex((floor) => floor.includes(name));
}

/** What is wrong with an import, if anything. */
function problem(plan: string[][], from: string, to: string): string | undefined {
  const [own = '', ...ownRest] = from.split('/');
  const [other = '', ...otherRest] = to.split('/');
  if (floorOf(plan, own) < 0) return `${own} stands on no floor`;
  if (own !== other) return floorOf(plan, other) < floorOf(plan, own) ? undefined : 'not downward';
  return own === 'models' && plan === floors ? problem(modelFloors, ownRest.join('/'), otherRest.join('/')) : undefined;
}

function problems({ file, imports }: Pick<Source, 'file' | 'imports'>): string[] {
  return imports.flatMap((target) => {
    const why = problem(floors, file, target);
    return why === undefined ? [] : [`src/${file} imports src/${target}: ${why}`];
  });
}

test('imports go strictly downward', () => {
  const all = sources();
  expect(all.length).toBeGreaterThan(50);
  expect(all.flatMap(problems)).toEqual([]);
});

test.each([
  ['tensor/tensor.ts', "import { linear } from '../nn/linear.ts';"],
  ['nn/linear.ts', "export { x } from '../optim/adamw.ts';"],
  ['models/opt/model.ts', "import type { X } from '../vision/eva/model.ts';"],
  ['models/opt/model.ts', "const x = await import('../blip2/model.ts');"],
  ['pipeline/blip2.ts', "import { Tensor } from '../index.ts';"],
  ['data/worker.ts', "new Worker(new URL('../pipeline/host.js', import.meta.url));"],
  ['extras/thing.ts', "import '../native/load.ts';"],
])('in %s, %s is refused', (file, text) => {
  expect(problems({ file, imports: importsOf(file, text) })).toHaveLength(1);
});

test('only native/load.ts loads native code', () => {
  const loaders = sources().filter(({ text }) => /\brequire\(|\bdlopen\(/.test(text));
  expect(loaders.map(({ file }) => file)).toEqual(['native/load.ts']);
});
