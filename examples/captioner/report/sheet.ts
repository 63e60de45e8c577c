import sharp, { type OverlayOptions } from 'sharp';
import { figureNames } from '../../emoji/figures.ts';
import { SIDE } from '../../emoji/scene.ts';
import { Letters } from '../../report/letters.ts';
import { marked, type Report, type Sample, samples } from './result.ts';

// Pixels. A cell has the picture at twice its size, and beside it the true caption above the given one.
const COLUMNS = 3;
const PICTURE = 2 * SIDE;
const CELL = { width: 330, height: PICTURE + 14 };
const MARGIN = 20;
const TEXT = { size: 14, line: 17 };
const INK = { text: '#222', quiet: '#777', right: '#16702f', wrong: '#c4161c' };

/** Sides of the contact sheet of a report, in pixels. */
export function sheetSize(report: Report, count: number): { width: number; height: number } {
  const rows = report.results.map((result) => Math.ceil(samples(result, count).length / COLUMNS));
  const height = rows.reduce((sum, n) => sum + 44 + n * CELL.height, 0);
  return { width: COLUMNS * CELL.width + 2 * MARGIN, height: 70 + height + MARGIN };
}

/** The contact sheet, a PNG: the first `count` pictures of each result, right and wrong as they come, and the figures above them. */
export async function contactSheet(report: Report, count = 12): Promise<Buffer> {
  const [regular, bold] = await Promise.all([Letters.load(), Letters.load('bold')]);
  const { width, height } = sheetSize(report, count);
  const text: string[] = [
    bold.path(report.title, MARGIN, 36, 22, INK.text),
    regular.path(report.summary, MARGIN, 58, TEXT.size, INK.quiet),
  ];
  const pictures: OverlayOptions[] = [];
  let top = 70;
  for (const result of report.results) {
    const { figures } = result;
    const line = figureNames.map((name) => `${name} ${figures[name].toFixed(1)} %`).join('   ');
    text.push(bold.path(result.kind, MARGIN, top + 26, 17, INK.text));
    text.push(regular.path(line, MARGIN + bold.width(result.kind, 17) + 20, top + 26, TEXT.size, INK.text));
    top += 44;
    const shown = samples(result, count);
    for (const [i, sample] of shown.entries()) {
      const left = MARGIN + (i % COLUMNS) * CELL.width;
      const y = top + Math.floor(i / COLUMNS) * CELL.height;
      pictures.push({ input: await enlarged(sample), left, top: y });
      text.push(...captions(sample, left + PICTURE + 12, y + TEXT.size, regular, bold));
    }
    top += Math.ceil(shown.length / COLUMNS) * CELL.height;
  }
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${text.join('')}</svg>`;
  return sharp({ create: { width, height, channels: 3, background: '#fff' } })
    .composite([...pictures, { input: Buffer.from(svg), left: 0, top: 0 }])
    .png({ palette: true, effort: 10 })
    .toBuffer();
}

/** The true caption, and below it the given one with what is wrong in it in red. */
function captions(sample: Sample, left: number, top: number, regular: Letters, bold: Letters): string[] {
  const width = CELL.width - PICTURE - 24;
  const truth = regular.lines(
    sample.caption.split(' ').map((word) => ({ word })),
    TEXT.size,
    width,
  );
  const paths = truth.map((line, i) =>
    regular.path(line.map(({ word }) => word).join(' '), left, top + i * TEXT.line, TEXT.size, INK.quiet),
  );
  let y = top + truth.length * TEXT.line + 6;
  for (const line of bold.lines(marked(sample), TEXT.size, width)) {
    let x = left;
    for (const { word, right } of line) {
      paths.push(bold.path(word, x, y, TEXT.size, right ? INK.right : INK.wrong));
      x += bold.width(`${word} `, TEXT.size);
    }
    y += TEXT.line;
  }
  return paths;
}

function enlarged(sample: Sample): Promise<Buffer> {
  return sharp(sample.pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
    .resize(PICTURE, PICTURE, { kernel: 'nearest' })
    .png()
    .toBuffer();
}
