import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { transformSync } from '@swc/core';

const root = path.join(import.meta.dirname, '../..');

/** A snippet of the documentation. */
export interface Snippet {
  readonly language: 'ts' | 'js';
  readonly code: string;
}

/** The snippets of a document in TypeScript or JavaScript, as they stand in it. */
export function snippetsOf(file: string): Snippet[] {
  const text = fs.readFileSync(path.join(root, file), 'utf8');
  return [...text.matchAll(/^```(ts|js)\n([\s\S]*?)^```$/gm)].map(([, language, code]) => ({
    language: language as 'ts' | 'js',
    code: code as string,
  }));
}

/** Documents that have snippets. */
export function documents(): string[] {
  const files = ['README.md', ...fs.readdirSync(path.join(root, 'docs')).map((name) => `docs/${name}`)];
  return files.filter((file) => file.endsWith('.md') && snippetsOf(file).length > 0).sort();
}

const IMPORT = /^import \{([^}]*)\} from '([^']+)';\n?/gm;

/**
 * A document's snippets as one module: each may use what those before it made, and may make it anew. What they import from the package
 * stands in front, once.
 * @param library what `'blip2'` stands for
 * @param given code in front of the snippets, with imports of its own: what a reader has already
 */
export function moduleOf(snippets: readonly Snippet[], library = 'blip2', given = ''): string {
  const names = new Set<string>();
  const others = new Set<string>();
  const bodies = [given, ...snippets.map(({ code }) => code)].map((code) =>
    code.replace(IMPORT, (line, list: string, from: string) => {
      if (from !== 'blip2') others.add(line);
      else for (const name of list.split(',')) if (name.trim() !== '') names.add(name.trim());
      return '';
    }),
  );
  const [before = '', ...rest] = bodies;
  const nested = rest.reduceRight((inner, body) => `{\n${body}${inner}}\n`, '');
  return `${[...others].join('')}import { ${[...names].join(', ')} } from '${library}';\n${before}\n${nested}`;
}

/** JavaScript of TypeScript: its types taken out, and what Node does not know yet in other words. */
export function javascriptOf(code: string): string {
  const parser = { syntax: 'typescript' } as const;
  return transformSync(code, { jsc: { target: 'es2022', parser }, module: { type: 'es6' }, isModule: true }).code;
}

/** Runs a module in a folder, and gives the lines that it printed. It must end well. */
export function linesOfRun(code: string, folder: string): string[] {
  const file = path.join(folder, 'snippets.mjs');
  fs.writeFileSync(file, code);
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], {
    encoding: 'utf8',
    cwd: folder,
    env: { ...process.env, OMP_NUM_THREADS: '1' },
  });
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
  return stdout.trim().split('\n');
}
