import path from 'node:path';
import { sources } from './sources.ts';

/** Every source file's text. */
export const texts = new Map(sources().map(({ file, text }) => [file, text]));

/** What an export may be declared as. */
export const keyword = '(?:declare )?(?:abstract )?(?:async )?(?:function\\*?|class|const|let|interface|type|enum)';

/** The exports of a file with the file that declares each, followed through re-exports. */
export function exportsOf(file: string): Map<string, string> {
  const text = texts.get(file) ?? '';
  const found = new Map<string, string>();
  const target = (specifier: string) => path.join(path.dirname(file), specifier);
  for (const [, specifier = ''] of text.matchAll(/^export (?:type )?\* from '([^']+)'/gm)) {
    for (const [name, where] of exportsOf(target(specifier))) found.set(name, where);
  }
  for (const [, names = '', specifier = ''] of text.matchAll(/^export (?:type )?\{([^}]+)\} from '([^']+)'/gm)) {
    const from = exportsOf(target(specifier));
    for (const item of names.split(',')) {
      const [name = '', alias = name] = item
        .trim()
        .replace(/^type /, '')
        .split(' as ');
      if (name !== '') found.set(alias, from.get(name) ?? target(specifier));
    }
  }
  for (const [, name = ''] of text.matchAll(new RegExp(`^export ${keyword} (\\w+)`, 'gm'))) found.set(name, file);
  return found;
}
