import sharp from 'sharp';
import { SIDE } from '../emoji/scene.ts';
import { PLOT, plot } from './curves.ts';
import { Letters } from './letters.ts';
import type { Item, Report, Section } from './section.ts';

const STYLE = `
  body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; color: #222; background: #fff }
  img { width: 96px; height: 96px; image-rendering: pixelated; display: block }
  .quiet, .note { color: #777 } .right { color: #16702f } .wrong, b.wrong { color: #c4161c }
  img.right { outline: 4px solid #16702f } img.wrong { outline: 2px solid #c4161c }
  .row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; margin: 0 0 1.2rem }
  .query { width: 15rem; font-weight: 600 } .found { display: flex; flex-wrap: wrap; gap: .7rem; flex: 1 }
  .texts { flex-direction: column; gap: .1rem }
  table { border-collapse: collapse } th, td { padding: .2rem .8rem; text-align: right } th:first-child, td:first-child { text-align: left }
`;

/** A report as a page that needs nothing beside itself. */
export async function reportPage(report: Report): Promise<string> {
  const letters = await Letters.load();
  const sections = await Promise.all(report.sections.map((section) => show(section, letters)));
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${html(report.title)}</title><style>${STYLE}</style></head>
<body>
<h1>${html(report.title)}</h1>
<p class="note">${html(report.summary)}</p>
${sections.join('\n')}
</body>
</html>
`;
}

async function show(section: Section, letters: Letters): Promise<string> {
  const head = `<h2>${html(section.title)}</h2>${section.note === undefined ? '' : `\n<p class="note">${html(section.note)}</p>`}`;
  return `${head}\n${await body(section, letters)}`;
}

async function body(section: Section, letters: Letters): Promise<string> {
  switch (section.kind) {
    case 'text':
      return '';
    case 'table': {
      const line = (cells: readonly string[], tag: 'th' | 'td'): string =>
        `<tr>${cells.map((cell) => `<${tag}>${html(cell)}</${tag}>`).join('')}</tr>`;
      return `<table>${line(section.head, 'th')}${section.rows.map((row) => line(row, 'td')).join('')}</table>`;
    }
    case 'curves': {
      const inside = plot(section.curves, { x: section.xName, y: section.yName }, letters);
      const size = `width="${PLOT.width}" height="${PLOT.height}" viewBox="0 0 ${PLOT.width} ${PLOT.height}"`;
      return `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${html(section.title)}" ${size}>${inside}</svg>`;
    }
    case 'rows': {
      const rows = section.rows.map(async ({ query, found }) => {
        const [asked, given] = await Promise.all([items(query), items(found)]);
        const list = found.some((item) => 'text' in item) ? 'found texts' : 'found';
        return `<div class="row"><div class="query">${asked}</div><div class="${list}">${given}</div></div>`;
      });
      return (await Promise.all(rows)).join('\n');
    }
  }
}

async function items(all: readonly Item[]): Promise<string> {
  return (await Promise.all(all.map(item))).join('');
}

async function item(one: Item): Promise<string> {
  const mark = one.mark === undefined ? '' : ` class="${one.mark}"`;
  if ('pixels' in one) {
    const png = await sharp(one.pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
      .png()
      .toBuffer();
    return `<img alt=""${mark} src="data:image/png;base64,${png.toString('base64')}">`;
  }
  const { text, wrongWords } = one;
  const words = wrongWords === undefined ? [html(text)] : text.split(' ').map((word, i) => marked(html(word), wrongWords[i]));
  return `<div${mark}>${words.join(' ')}</div>`;
}

function marked(word: string, wrong: boolean | undefined): string {
  return wrong ? `<b class="wrong">${word}</b>` : word;
}

function html(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.codePointAt(0)};`);
}
