import { type Declaration, declarations, declarationsOf } from '../support/declarations.ts';
import { exportsOf, keyword, texts } from '../support/exports.ts';

function isDocumented(name: string, file: string): boolean {
  const before = new RegExp(`\\*/\\nexport ${keyword} ${name}\\b`);
  return before.test(texts.get(file) ?? '');
}

test('everything that the package exports has a TSDoc comment', () => {
  const exported = [...exportsOf('index.ts')];
  expect(exported.length).toBeGreaterThan(50);
  expect(exported.filter(([name, file]) => !isDocumented(name, file)).map(([name, file]) => `${name} of src/${file}`)).toEqual(
    [],
  );
});

/** Members that need no word of their own: what the language gives them a meaning, and the names of errors. */
const spoken = /^(?:constructor|name|\[Symbol\.\w+\])$/;

/** The public members of a declaration that neither it nor what it is built on has a comment for. */
function undocumented(declaration: Declaration, all: ReadonlyMap<string, Declaration>): string[] {
  const documented = new Set<string>();
  const collect = ({ members, parents }: Declaration): void => {
    for (const { name, comment } of members) if (comment !== '') documented.add(name);
    for (const parent of parents) {
      const known = all.get(parent);
      if (known !== undefined) collect(known);
    }
  };
  collect(declaration);
  const isError = declaration.name.endsWith('Error');
  return declaration.members
    .map(({ name }) => name)
    .filter((name, i, names) => names.indexOf(name) === i)
    .filter((name) => !documented.has(name) && !(spoken.test(name) && (name !== 'name' || isError)));
}

test('so has every member of what it exports', () => {
  const exported = exportsOf('index.ts');
  const all = new Map(declarations().map((declaration) => [declaration.name, declaration]));
  const own = [...all.values()].filter(({ name, file }) => exported.get(name) === file);
  expect(own.length).toBeGreaterThan(100);
  expect(own.reduce((sum, { members }) => sum + members.length, 0)).toBeGreaterThan(500);
  expect(
    own.flatMap((declaration) =>
      undocumented(declaration, all).map((name) => `${declaration.name}.${name} of src/${declaration.file}`),
    ),
  ).toEqual([]);
});

test('members are found in declarations as the compiler writes them', () => {
  const text = `/** A box. */
export declare class Box<T> extends Lid<T> implements Thing {
    #private;
    private hidden;
    /** Its width. */
    readonly width: number;
    height?: number;
    constructor(options: {
        deep: number;
    });
    /** What it holds. */
    get content(): T;
    set content(value: T);
    fill<K extends string>(key: K, options?: {
        twice?: boolean;
    }): void;
    [Symbol.dispose](): void;
}
export interface Empty {}
export declare class Wide<E extends {
    readonly shape: number;
} = {
    readonly shape: number;
}> {
    get(): E;
}
`;
  const [box, empty, wide] = declarationsOf('box.ts', text);
  expect(box).toMatchObject({ name: 'Box', comment: '/** A box. */', parents: ['Lid', 'Thing'] });
  expect(box?.members.map(({ name, comment }) => [name, comment !== ''])).toEqual([
    ['width', true],
    ['height', false],
    ['constructor', false],
    ['content', true],
    ['content', false],
    ['fill', false],
    ['[Symbol.dispose]', false],
  ]);
  expect(empty?.members).toEqual([]);
  expect(wide?.members.map(({ name }) => name)).toEqual(['get']);
  expect(undocumented(box as Declaration, new Map())).toEqual(['height', 'fill']);
});
