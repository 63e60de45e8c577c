import { mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { reportPage } from '../report/page.ts';
import type { Report } from '../report/section.ts';
import { reportSheet } from '../report/sheet.ts';

/** Writes `<name>.html` and `<name>.png` into a folder. */
export async function writeReport(folder: string, name: string, page: Report, sheet: Report = page): Promise<void> {
  await mkdir(folder, { recursive: true });
  const files = { [`${name}.html`]: await reportPage(page), [`${name}.png`]: await reportSheet(sheet) };
  for (const [file, content] of Object.entries(files)) {
    const to = path.join(folder, file);
    await writeFile(`${to}.partial`, content);
    await rename(`${to}.partial`, to);
    console.log(`wrote ${to}`);
  }
}
