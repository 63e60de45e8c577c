import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import opentype, { type Font } from 'opentype.js';

const require = createRequire(import.meta.url);

/** Text as SVG paths, from a font of an npm package: a bare machine has no fonts for an SVG's `<text>`. */
export class Letters {
  readonly #font: Font;

  private constructor(font: Font) {
    this.#font = font;
  }

  static async load(weight: 'regular' | 'bold' = 'regular'): Promise<Letters> {
    const file = require.resolve(`@fontsource/lato/files/lato-latin-${weight === 'bold' ? 700 : 400}-normal.woff`);
    const { buffer, byteOffset, byteLength } = await readFile(file);
    return new Letters(opentype.parse(buffer.slice(byteOffset, byteOffset + byteLength)));
  }

  /** Pixels that the text takes from left to right at a font size. */
  width(text: string, size: number): number {
    return this.#font.getAdvanceWidth(text, size);
  }

  /** The text as a `<path>`, its baseline starting at (x, y). */
  path(text: string, x: number, y: number, size: number, colour: string): string {
    return `<path fill="${colour}" d="${this.#font.getPath(text, x, y, size).toPathData(1)}"/>`;
  }

  /** The words broken into lines of at most `width` pixels. */
  lines<T extends { readonly word: string }>(words: readonly T[], size: number, width: number): T[][] {
    const lines: T[][] = [];
    let line: T[] = [];
    for (const word of words) {
      const text = [...line, word].map((each) => each.word).join(' ');
      if (line.length > 0 && this.width(text, size) > width) {
        lines.push(line);
        line = [];
      }
      line.push(word);
    }
    return line.length > 0 ? [...lines, line] : lines;
  }
}
