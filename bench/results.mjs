// What the bench prints and writes.
import { renameSync, writeFileSync } from 'node:fs';

const number = (value) =>
  value >= 1000 ? Math.round(value).toLocaleString('en-US') : value >= 100 ? value.toFixed(0) : value.toPrecision(3);

export const isMet = ({ better, goal }, ratio) => (better === 'less' ? ratio <= goal : ratio >= goal);

/** One row's cells. */
export function cells(row, result) {
  const goal = `${row.better === 'less' ? '≤' : '≥'} ${row.goal} ×`;
  if (result.error !== undefined) return [row.title, '–', '–', result.what, '', goal, 'no'];
  const { ours, theirs, ratio, range } = result;
  return [
    row.title,
    `${number(ours)} ${row.unit}`,
    `${number(theirs)} ${row.unit}`,
    `${ratio.toFixed(2)} ×`,
    `${range[0].toFixed(2)}–${range[1].toFixed(2)}`,
    goal,
    isMet(row, ratio) ? 'yes' : 'no',
  ];
}

const HEAD = ['row', 'ours', 'theirs', 'ratio', 'rounds', 'goal', 'met'];

/** A table in Markdown, its columns aligned so that it can be read as it is. */
export function table(lines) {
  const all = [HEAD, ...lines];
  const widths = HEAD.map((_, column) => Math.max(...all.map((line) => line[column].length)));
  const format = (line) => `| ${line.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  return [format(HEAD), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...lines.map(format)].join('\n');
}

/** Writes the file that the repository keeps. */
export function writeResults(file, { facts, lines, command }) {
  const text = `# Benchmarks

Written by \`${command}\`. Both sides run on this machine in the same run, in turns, on the same libtorch, with the same threads,
weights, inputs, dtype and dropout. A ratio is ours over theirs: the median of the rounds' ratios, with their range beside it.

${facts.map(([name, value]) => `- ${name}: ${value}`).join('\n')}

${table(lines)}

The demo model has the shape of \`examples/captioner/model.ts\` for 32 concepts, but dropout 0.1. Training ends each step with the loss as a number; the peer's optimizer is
\`AdamW(fused=True)\`, ours \`AdamW\` with the same settings. Before a row runs, the two sides are checked to have the same loss without dropout, the same token ids, the
same picture. Captions go one picture at a time from pixel values to ids, 20 new tokens at most. The cold start runs from the start of
the process to the caption of a JPEG file, files in the system's cache.

Stage 1: batch 32, pictures of 257 × 1408 (with the tower 257 × 768), captions of 8 to 20 tokens, 12 layers of width 768, against LAVIS's own
\`Blip2Qformer.forward\` with backward and \`AdamW(fused=True)\`; losses were checked with the same negatives on both sides. Peak memory is counted from where model and
inputs are there, before the first step. Where the time goes is in [README.md](README.md).
`;
  const partial = `${file}.${process.pid}.tmp`;
  writeFileSync(partial, text);
  renameSync(partial, file);
}
