import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve('src');

/** One source file: its path from `src/`, its text, and the files of `src/` that it imports, types included. */
export interface Source {
  file: string;
  text: string;
  imports: string[];
}

const specifiers = /(?:\bfrom|\bimport|\bimport\(|new URL\()\s*'(\.{1,2}\/[^']+)'/g;

/** Every file under `src/`. */
export function sources(): Source[] {
  return readdirSync(root, { recursive: true })
    .map(String)
    .filter((file) => file.endsWith('.ts'))
    .map((file) => {
      const text = readFileSync(path.join(root, file), 'utf8');
      return { file, text, imports: importsOf(file, text) };
    });
}

/** The files of `src/` that a file imports, by import, export from, dynamic import or as a worker. */
export function importsOf(file: string, text: string): string[] {
  return [...text.matchAll(specifiers)].map((match) => path.join(path.dirname(file), (match[1] ?? '').replace(/\.js$/, '.ts')));
}
