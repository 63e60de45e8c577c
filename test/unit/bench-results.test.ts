import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

interface Load {
  before?: number;
  during?: number | null;
  busy?: boolean;
}
interface Figures {
  rounds: number;
  ours: number;
  theirs: number;
  ratio: number;
  range: number[];
}
interface Result extends Partial<Figures> {
  date: string;
  commit: string | null;
  load?: Load | null;
  outcome?: string;
}
interface Group {
  setup: Record<string, string>;
  rows: Record<string, Result>;
}
interface Row {
  key: string;
  title: string;
}
interface Results {
  merge(kept: readonly Group[], setup: Group['setup'], key: string, result: Result): Group[];
  record(figures: Figures, when: Result): Result;
  read(file: string): Group[];
  write(file: string, kept: readonly Group[]): void;
}
interface Report {
  render(kept: readonly Group[], rows: readonly Row[]): string;
}
interface Conditions {
  besideOthers<T>(work: () => Promise<T>): Promise<{ value: T; load: { before: number; during: number | null } }>;
}

const run = promisify(execFile);
const bench = fileURLToPath(new URL('../../bench/', import.meta.url));
const load = async <T>(file: string): Promise<T> => (await import(path.join(bench, file))) as T;
const { merge, record, read, write } = await load<Results>('results.mjs');
const { render } = await load<Report>('report.mjs');
const { rows } = await load<{ rows: Row[] }>('rows.mjs');
const { besideOthers } = await load<Conditions>('conditions.mjs');

const setup = { machine: 'one', threads: '2', ours: 'libtorch 1' };
const newer = { ...setup, ours: 'libtorch 2' };
const elsewhere = { ...setup, machine: 'another' };
const figures = { rounds: 5, ours: 30.123456, theirs: 15, ratio: 2.0082304, range: [1.9, 2.1] };
const quiet: Load = { before: 0.02, during: 0.3 };
const measured = (commit: string, load: Load | null = quiet): Result => record(figures, { date: '2026-01-02', commit, load });
/** Cells of a row's line. */
const line = (text: string, key: string): string[] => {
  const title = rows.find((row) => row.key === key)?.title ?? '';
  const found = text.split('\n').filter((each) => each.startsWith(`| ${title} `) && each.split('|')[1]?.trim() === title);
  expect(found).toHaveLength(1);
  return (found[0] ?? '')
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
};

test('a row that is measured takes the place of what was measured of it, and leaves the others', () => {
  const before = [{ setup, rows: { add: measured('a'), view: measured('a') } }];
  const kept = structuredClone(before);
  expect(merge(kept, setup, 'add', measured('b'))).toEqual([{ setup, rows: { add: measured('b'), view: measured('a') } }]);
  expect(merge(kept, setup, 'chain', measured('b'))[0]?.rows).toEqual({ ...before[0]?.rows, chain: measured('b') });
  expect(kept).toEqual(before);
});

test('other versions stand apart, and a row in one place a machine', () => {
  const kept = merge([{ setup, rows: { add: measured('a'), view: measured('a') } }], newer, 'add', measured('b'));
  expect(kept).toEqual([
    { setup: newer, rows: { add: measured('b') } },
    { setup, rows: { view: measured('a') } },
  ]);
  expect(merge(kept, newer, 'view', measured('c'))).toEqual([
    { setup: newer, rows: { add: measured('b'), view: measured('c') } },
  ]);
});

test('another machine, or another number of threads, takes nothing away', () => {
  const kept = [{ setup, rows: { add: measured('a') } }];
  for (const other of [elsewhere, { ...setup, threads: '1' }, { ...setup, settings: 'others' }]) {
    expect(merge(kept, other, 'add', measured('b'))).toEqual([{ setup: other, rows: { add: measured('b') } }, ...kept]);
  }
});

test('a row that failed shows so; one that could not be run takes no place', () => {
  const failed = { date: '2026-01-02', commit: 'b', outcome: 'failed' };
  const kept = [{ setup, rows: { add: measured('a') } }];
  expect(merge(kept, setup, 'add', failed)[0]?.rows).toEqual({ add: failed });
  expect(merge(kept, newer, 'add', { ...failed, outcome: 'not run' })).toEqual(kept);
  expect(merge(kept, setup, 'view', { ...failed, outcome: 'not run' })[0]?.rows.view?.outcome).toBe('not run');
  expect(line(render(merge(kept, setup, 'add', failed), rows), 'add').slice(1, 4)).toEqual(['–', '–', 'failed']);
});

test('what is written is read again, and holds a line a row', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'blip2-bench-'));
  const file = path.join(folder, 'results.json');
  const kept = [
    { setup, rows: { add: measured('a'), view: measured('a', null) } },
    { setup: elsewhere, rows: { add: measured('b') } },
  ];
  expect(read(file)).toEqual([]);
  write(file, kept);
  expect(read(file)).toEqual(kept);
  expect(
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((each) => each.startsWith('      "add": {')),
  ).toHaveLength(2);
  rmSync(folder, { recursive: true });
});

test('the table says when a row was measured, of how many rounds, and beside what', () => {
  const results = { 'demo-1': measured('abc1234'), 'full-size-load': { ...measured('abc1234'), rounds: 1 } };
  const text = render([{ setup, rows: results }], rows);
  expect(text).toContain('## one\n\n- Threads: 2\n- Ours: libtorch 1\n\n| row');
  const cells = ['30.1 steps/s', '15.0 steps/s', '2.01 ×', '5: 1.90–2.10', '≥ 1.3 ×', 'yes', '0.30', '2026-01-02, abc1234'];
  expect(line(text, 'demo-1').slice(1)).toEqual(cells);
  // A ratio of times is to be small; and of one round there is no range.
  expect(line(text, 'full-size-load').slice(4, 7)).toEqual(['1', '≤ 1 ×', 'no']);
  const others = (load: Load | null): string | undefined =>
    line(render([{ setup, rows: { add: measured('a', load) } }], rows), 'add')[7];
  expect(others({ before: 0.1, during: 0.51 })).toBe('0.51 !');
  expect(others({ before: 0.6, during: 0.1 })).toBe('0.60 !');
  expect(others({ before: 0.5, during: null })).toBe('0.50');
  expect(others({ busy: true })).toBe('!');
  expect(others(null)).toBe('?');
});

test('rows stand in their own order, and what is no row any more is left out', () => {
  const results = { view: measured('a'), gone: measured('a'), add: measured('a') };
  const text = render(
    [
      { setup, rows: results },
      { setup: elsewhere, rows: { gone: measured('a') } },
    ],
    rows,
  );
  expect(text.indexOf('8-element add')).toBeLessThan(text.indexOf('view, in a scope'));
  expect(text).not.toContain('gone');
  expect(text).not.toContain('## another');
});

test('RESULTS.md is what results.json says', () => {
  const kept = read(path.join(bench, 'results.json'));
  expect(readFileSync(path.join(bench, 'RESULTS.md'), 'utf8')).toBe(render(kept, rows));
  expect(rows.map(({ key }) => key).filter((key) => !kept.some((group) => key in group.rows))).toEqual([]);
});

test("the load beside a work leaves out the work's own processes", async () => {
  // Every core works half a second for children. Counted in, they would be nearly all that the machine did.
  const cores = os.cpus().length;
  const spin = 'while (process.cpuUsage().user < 5e5) for (let i = 0; i < 1e6; i++);';
  const { value: seconds, load } = await besideOthers(async () => {
    const started = performance.now();
    await Promise.all(Array.from({ length: cores }, () => run(process.execPath, ['-e', spin])));
    return (performance.now() - started) / 1000;
  });
  expect(load.before).toBeGreaterThanOrEqual(0);
  if (process.platform === 'linux') expect(load.during).toBeLessThan(cores - (0.4 * cores) / seconds);
  else expect(load.during).toBeNull();
});
