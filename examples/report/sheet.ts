import sharp, { type OverlayOptions } from 'sharp';
import { SIDE } from '../emoji/scene.ts';
import { PLOT, plot } from './curves.ts';
import { Letters } from './letters.ts';
import type { Item, Report, Row, Section } from './section.ts';

// Pixels.
const WIDTH = 1000;
const MARGIN = 20;
const PICTURE = { small: SIDE, gap: 12 };
const QUERY = 250;
const TEXT = { size: 14, line: 18 };
const INK = { text: '#222', quiet: '#777', right: '#16702f', wrong: '#c4161c' };

/** What is drawn: pictures at places, and the inside of an SVG over them. */
interface Canvas {
  readonly pictures: OverlayOptions[];
  readonly shapes: string[];
  readonly regular: Letters;
  readonly bold: Letters;
}

/** A report as one picture, a PNG. */
export async function reportSheet(report: Report): Promise<Buffer> {
  const [regular, bold] = await Promise.all([Letters.load(), Letters.load('bold')]);
  const canvas: Canvas = { pictures: [], shapes: [], regular, bold };
  let y = write(canvas, report.title, { x: MARGIN, y: 40, size: 22, bold: true });
  y = write(canvas, report.summary, { x: MARGIN, y: y + 4, size: TEXT.size, colour: INK.quiet });
  for (const section of report.sections) y = await draw(canvas, section, y + 22);
  const height = Math.ceil(y + MARGIN);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}">${canvas.shapes.join('')}</svg>`;
  return sharp({ create: { width: WIDTH, height, channels: 3, background: '#fff' } })
    .composite([...canvas.pictures, { input: Buffer.from(svg), left: 0, top: 0 }])
    .png({ palette: true, effort: 10 })
    .toBuffer();
}

/** Draws a section from `top` on, and gives where it ends. */
async function draw(canvas: Canvas, section: Section, top: number): Promise<number> {
  let y = write(canvas, section.title, { x: MARGIN, y: top, size: 17, bold: true });
  if (section.note !== undefined) y = write(canvas, section.note, { x: MARGIN, y: y + 2, size: 13, colour: INK.quiet });
  switch (section.kind) {
    case 'text':
      return y;
    case 'table':
      return drawTable(canvas, [section.head, ...section.rows], y + 6);
    case 'curves':
      canvas.shapes.push(plot(section.curves, { x: section.xName, y: section.yName }, canvas.regular, MARGIN, Math.ceil(y) - 8));
      return y + PLOT.height;
    case 'rows':
      y -= 4;
      for (const row of section.rows) y = await drawRow(canvas, row, Math.ceil(y));
      return y;
  }
}

function drawTable({ shapes, regular, bold }: Canvas, rows: readonly (readonly string[])[], top: number): number {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => bold.width(row[column] ?? '', TEXT.size))));
  let y = top;
  for (const [i, row] of rows.entries()) {
    const letters = i === 0 ? bold : regular;
    let right = MARGIN;
    for (const [column, cell] of row.entries()) {
      const width = widths[column] as number;
      const x = column === 0 ? right : right + width - letters.width(cell, TEXT.size);
      shapes.push(letters.path(cell, x, y, TEXT.size, INK.text));
      right += width + 28;
    }
    y += TEXT.line + 3;
  }
  return y - 4;
}

async function drawRow(canvas: Canvas, { query, found }: Row, top: number): Promise<number> {
  const asked = await drawItems(canvas, query, { left: MARGIN, top, width: QUERY - 20 });
  const given = await drawItems(canvas, found, { left: MARGIN + QUERY, top, width: WIDTH - 2 * MARGIN - QUERY });
  return Math.max(asked, given) + 10;
}

/** Pictures beside each other, words below each other. */
async function drawItems(
  canvas: Canvas,
  items: readonly Item[],
  at: { left: number; top: number; width: number },
): Promise<number> {
  const pictures = items.filter((item) => 'pixels' in item);
  let x = at.left;
  for (const { pixels, mark } of pictures) {
    const picture = await sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
      .png()
      .toBuffer();
    canvas.pictures.push({ input: picture, left: x, top: at.top });
    if (mark === 'right' || mark === 'wrong') {
      const line = mark === 'right' ? 4 : 2;
      const frame = `x="${x - line / 2}" y="${at.top - line / 2}" width="${SIDE + line}" height="${SIDE + line}"`;
      canvas.shapes.push(`<rect ${frame} fill="none" stroke="${INK[mark]}" stroke-width="${line}"/>`);
    }
    x += PICTURE.small + PICTURE.gap;
  }
  let y = at.top + (pictures.length > 0 && at.width > 2 * QUERY ? SIDE : TEXT.size);
  const left = pictures.length > 0 ? x : at.left;
  for (const item of items) {
    if (!('text' in item)) continue;
    const colour = item.mark === undefined ? INK.text : INK[item.mark];
    const words = item.text.split(' ').map((word, i) => ({ word, wrong: item.wrongWords?.[i] ?? false }));
    for (const line of canvas.bold.lines(words, TEXT.size, at.width - (left - at.left))) {
      let right = left;
      for (const { word, wrong } of line) {
        const letters = item.mark === 'quiet' ? canvas.regular : canvas.bold;
        canvas.shapes.push(letters.path(word, right, y, TEXT.size, wrong ? INK.wrong : colour));
        right += letters.width(`${word} `, TEXT.size);
      }
      y += TEXT.line;
    }
  }
  return Math.max(y - TEXT.line + 4, pictures.length > 0 ? at.top + SIDE : 0);
}

/** Writes lines of text, and gives where they end. */
function write(
  { shapes, regular, bold: heavy }: Canvas,
  text: string,
  { x, y, size, bold = false, colour = INK.text }: { x: number; y: number; size: number; bold?: boolean; colour?: string },
): number {
  const letters = bold ? heavy : regular;
  const words = text.split(' ').map((word) => ({ word }));
  let at = y;
  for (const line of letters.lines(words, size, WIDTH - 2 * MARGIN)) {
    shapes.push(letters.path(line.map(({ word }) => word).join(' '), x, at, size, colour));
    at += Math.round(1.35 * size);
  }
  return at;
}
