// The measurements that the repository keeps: results.json, a row's last one on each machine. RESULTS.md is written from it, by report.mjs.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

/** Cores that other programs may keep busy beside a row; beyond, its figures are noise. */
export const QUIET = 0.5;

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/**
 * Takes a row's measurement in. `kept` are groups of rows that were measured under the same setup: `{ setup, rows }`, a setup being the
 * machine, its threads, settings, and the versions of all that takes part. The row's earlier measurement there goes, of whatever versions; those
 * of other machines and settings stay. A row that could not be run takes nobody's place.
 */
export function merge(kept, setup, key, result) {
  const isHere = (group) => ['machine', 'threads', 'settings'].every((fact) => group.setup[fact] === setup[fact]);
  if (result.outcome === 'not run' && kept.some((group) => isHere(group) && key in group.rows)) return kept;
  const isSame = (group) => same(group.setup, setup);
  const without = ({ setup: own, rows: { [key]: _, ...rows } }) => ({ setup: own, rows });
  const put = (group) => ({ setup, rows: { ...group.rows, [key]: result } });
  const groups = kept.some(isSame) ? kept : [{ setup, rows: {} }, ...kept];
  return groups
    .map((group) => (isSame(group) ? put(group) : isHere(group) ? without(group) : group))
    .filter(({ rows }) => Object.keys(rows).length > 0);
}

/** A row's result as it is kept: figures to four digits, and when, at which commit and beside what they were measured. */
export function record({ ours, theirs, ratio, range, rounds }, { date, commit, load }) {
  const short = (value) => Number(value.toPrecision(4));
  return { date, commit, load, rounds, ours: short(ours), theirs: short(theirs), ratio: short(ratio), range: range.map(short) };
}

/** Whether other programs are known to have run beside a measurement. A load that was not noted is null; `busy` alone says that there was one. */
export const isDisturbed = ({ load }) => load !== null && (load.busy === true || Math.max(load.before, load.during ?? 0) > QUIET);

/** What the file holds; nothing where there is none. */
export function read(file) {
  let text;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
  const kept = JSON.parse(text);
  if (!Array.isArray(kept) || !kept.every(({ setup, rows }) => setup?.machine && rows))
    throw new Error(`${file} holds no results`);
  return kept;
}

/** A line for each setup's fact and for each row, so that changes can be read. */
export function write(file, kept) {
  const lines = (object) =>
    Object.entries(object).map(([name, value]) => `      ${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  const block = (name, object) => `    "${name}": {\n${lines(object).join(',\n')}\n    }`;
  const groups = kept.map(({ setup, rows }) => `  {\n${block('setup', setup)},\n${block('rows', rows)}\n  }`);
  replace(file, `[\n${groups.join(',\n')}\n]\n`);
}

/** Writes aside first: a run may be ended at any time. */
export function replace(file, text) {
  const partial = `${file}.${process.pid}.tmp`;
  writeFileSync(partial, text);
  renameSync(partial, file);
}
