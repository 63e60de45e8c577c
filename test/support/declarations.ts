import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** A member of a class or an interface. */
export interface Member {
  name: string;
  /** What TSDoc says of it; empty where nothing does. */
  comment: string;
}

/** A class or an interface that a file exports. */
export interface Declaration {
  name: string;
  file: string;
  comment: string;
  /** The names of what it extends and implements. */
  parents: string[];
  members: Member[];
}

const heading = /^export (?:declare )?(?:abstract )?(?:class|interface) (\w+)(.*?) \{(\})?$/;
// The compiler sets members four spaces in, and whatever belongs to one of them further, or it is a closing bracket.
const member =
  /^ {4}(?:(?:static|readonly|abstract|protected|get|set|declare|accessor|async) )*\*?(\w+|\[[^\]]+\]|"[^"]+"|'[^']+')[?!]?(?=[(:<;])/;

/** The classes and interfaces of a declaration file, as the compiler writes it. */
export function declarationsOf(file: string, text: string): Declaration[] {
  const found: Declaration[] = [];
  let open: Declaration | undefined;
  let inParameters = false; // type parameters may have several lines, which look like members
  let comment = '';
  let inComment = false;
  for (const line of text.split('\n')) {
    const trimmed = line.trim();
    if (inComment || trimmed.startsWith('/**')) {
      comment = inComment ? `${comment}\n${trimmed}` : trimmed;
      inComment = !trimmed.endsWith('*/');
      continue;
    }
    const head = heading.exec(line);
    if (head !== null) {
      const [, name = '', rest = '', empty] = head;
      const declaration = { name, file, comment, parents: parentsOf(rest), members: [] };
      found.push(declaration);
      open = empty === undefined ? declaration : undefined;
      inParameters = /<(?!.*>)/.test(rest);
    } else if (inParameters) {
      inParameters = !/^\}> .*\{$|^\}> \{$/.test(line);
    } else if (line === '}') {
      open = undefined;
    } else if (open !== undefined) {
      const name = member.exec(line)?.[1];
      if (name !== undefined) open.members.push({ name, comment });
    }
    comment = '';
  }
  return found;
}

function parentsOf(rest: string): string[] {
  const plain = rest.replace(/<[^<>]*>/g, '').replace(/<[^<>]*>/g, '');
  return [...plain.matchAll(/(?:extends|implements|,) (\w+)/g)].map((match) => match[1] as string);
}

/** Of every declaration file under `dist/`. */
export function declarations(): Declaration[] {
  const root = path.resolve('dist');
  return readdirSync(root, { recursive: true })
    .map(String)
    .filter((file) => file.endsWith('.d.ts'))
    .flatMap((file) => declarationsOf(file.replace(/\.d\.ts$/, '.ts'), readFileSync(path.join(root, file), 'utf8')));
}
