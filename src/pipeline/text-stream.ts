import type { Tokenizer } from '../data/index.ts';

/**
 * Turns tokens into text as they come. A token's text can depend on its neighbours (spaces, bytes of one character), so all tokens so far are
 * decoded and what is new is given out, once no character of it can change any more.
 */
export class TextStream {
  readonly #tokenizer: Tokenizer;
  readonly #ids: number[] = [];
  #given = '';

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  /** The text that the token makes certain; often empty. */
  push(token: number): string {
    this.#ids.push(token);
    const text = this.#text();
    // An unfinished character decodes to U+FFFD; white space at the end may turn out to be the end, which is trimmed.
    return text.endsWith('\uFFFD') ? '' : this.#give(text.trimEnd());
  }

  /** The text that was held back. */
  end(): string {
    return this.#give(this.#text().trimEnd());
  }

  #text(): string {
    return this.#tokenizer.decode(this.#ids, { skipSpecialTokens: true }).trimStart();
  }

  #give(text: string): string {
    if (!text.startsWith(this.#given)) return ''; // what has been given cannot be taken back
    const added = text.slice(this.#given.length);
    this.#given = text;
    return added;
  }
}
