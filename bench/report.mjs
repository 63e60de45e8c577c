// What the bench prints, and RESULTS.md.

import { notes } from './notes.mjs';
import { isDisturbed, QUIET } from './results.mjs';

const number = (value) =>
  value >= 1000 ? Math.round(value).toLocaleString('en-US') : value >= 100 ? value.toFixed(0) : value.toPrecision(3);

/** Rows without a goal miss none. */
export const isMet = ({ better, goal }, ratio) => goal === null || (better === 'less' ? ratio <= goal : ratio >= goal);

const HEAD = ['row', 'ours', 'theirs', 'ratio', 'rounds', 'goal', 'met', 'others', 'measured'];

/** One row's cells. */
export function cells(row, result) {
  const goal = row.goal === null ? '–' : `${row.better === 'less' ? '≤' : '≥'} ${row.goal} ×`;
  const measured = [result.date, ...(result.commit === null ? [] : [result.commit])].join(', ');
  if (result.outcome !== undefined)
    return [row.title, '–', '–', result.outcome, '', goal, row.goal === null ? '–' : 'no', '', measured];
  const { ours, theirs, ratio, range, rounds } = result;
  const spread = rounds === 1 ? '1' : `${rounds}: ${range[0].toFixed(2)}–${range[1].toFixed(2)}`;
  return [
    row.title,
    `${number(ours)} ${row.unit}`,
    `${number(theirs)} ${row.unit}`,
    `${ratio.toFixed(2)} ×`,
    spread,
    goal,
    row.goal === null ? '–' : isMet(row, ratio) ? 'yes' : 'no',
    loadOf(result),
    measured,
  ];
}

function loadOf(result) {
  if (result.load === null) return '?';
  const { before, during } = result.load;
  const mark = isDisturbed(result) ? '!' : '';
  return before === undefined ? mark : `${Math.max(before, during ?? 0).toFixed(2)}${mark && ` ${mark}`}`;
}

/** A table in Markdown, its columns aligned so that it can be read as it is. */
export function table(lines) {
  const all = [HEAD, ...lines];
  const widths = HEAD.map((_, column) => Math.max(...all.map((line) => line[column].length)));
  const format = (line) => `| ${line.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  return [format(HEAD), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...lines.map(format)].join('\n');
}

/** One setup's facts and the rows that were measured under it, in the order of the list of rows; those that it has no more are left out. */
function section({ setup, rows: results }, rows) {
  const { machine, ...facts } = setup;
  const listed = Object.entries(facts).map(([name, value]) => `- ${name[0].toUpperCase()}${name.slice(1)}: ${value}`);
  const lines = rows.filter(({ key }) => key in results).map((row) => cells(row, results[row.key]));
  return `## ${machine}\n\n${listed.join('\n')}\n\n${table(lines)}`;
}

/** The file that the repository shows. */
export function render(kept, rows) {
  const sections = kept
    .filter(({ rows: results }) => rows.some(({ key }) => key in results))
    .map((group) => section(group, rows));
  return `# Benchmarks

Written by \`npm run bench\` from \`results.json\`, which keeps the last measurement of each row. The two sides of a row run on one machine, in turns, on the same
libtorch, with the same threads, weights, inputs, dtype and dropout. A ratio is ours over theirs: the median of the rounds' ratios, beside it how many rounds
there were, and their range. Rows of other machines or versions stand in tables of their own.

*Others* is how many cores other programs kept busy in the second before the row or during it, whichever was more; above ${QUIET} the figures are noise and
marked !, and so are rows beside which other programs are known to have run; ? is not known. *Measured* is the day and the commit: + with changes, ≤ at it or before.

${sections.join('\n\n')}

${notes}`;
}
