import sharp from 'sharp';
import { figureNames } from '../../emoji/figures.ts';
import { SIDE } from '../../emoji/scene.ts';
import { marked, type Report, type Result, type Sample, samples } from './result.ts';

const STYLE = `
  body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; background: #fff }
  .pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem }
  figure { display: flex; gap: .75rem; margin: 0 }
  img { width: 128px; height: 128px; image-rendering: pixelated }
  figcaption span { display: block }
  .truth, .summary { color: #777 } .given { font-weight: 600; color: #16702f } .wrong { color: #c4161c }
  table { border-collapse: collapse } th, td { padding: .2rem .8rem; text-align: right } th:first-child, td:first-child { text-align: left }
`;

/** A page that needs nothing beside itself: the figures, and of each result the first `count` pictures with both captions. */
export async function reportPage(report: Report, count = 60): Promise<string> {
  const sections = await Promise.all(report.results.map((result) => section(result, count)));
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${html(report.title)}</title><style>${STYLE}</style></head>
<body>
<h1>${html(report.title)}</h1>
<p class="summary">${html(report.summary)}</p>
${table(report.results)}
<p>Each picture's true caption is grey; below it the given one, with what is wrong in red.</p>
${sections.join('\n')}
</body>
</html>
`;
}

function table(results: readonly Result[]): string {
  const head = figureNames.map((name) => `<th>${name}</th>`).join('');
  const rows = results.map(({ kind, figures, given }) => {
    const cells = figureNames.map((name) => `<td>${figures[name].toFixed(1)}</td>`).join('');
    return `<tr><td>${html(kind)}</td><td>${given.length}</td>${cells}</tr>`;
  });
  return `<table><tr><th>right, in percent</th><th>pictures</th>${head}</tr>${rows.join('')}</table>`;
}

async function section(result: Result, count: number): Promise<string> {
  const figures = await Promise.all(samples(result, count).map(figure));
  return `<h2>${html(result.kind)}</h2>\n<div class="pictures">\n${figures.join('\n')}\n</div>`;
}

async function figure(sample: Sample): Promise<string> {
  const png = await sharp(sample.pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
    .png()
    .toBuffer();
  const given = marked(sample)
    .map(({ word, right }) => (right ? html(word) : `<b class="wrong">${html(word)}</b>`))
    .join(' ');
  return `<figure><img alt="" src="data:image/png;base64,${png.toString('base64')}"><figcaption><span class="truth">${html(sample.caption)}</span><span class="given">${given}</span></figcaption></figure>`;
}

function html(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.codePointAt(0)};`);
}
