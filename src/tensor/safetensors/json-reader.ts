/** Reads JSON text of a known shape, piece by piece, where a general parser would build whatever a hostile file asks for. */
export class JsonReader {
  readonly #text: string;
  #at = 0;
  readonly failure: (field: string, problem: string) => Error;

  constructor(text: string, failure: (field: string, problem: string) => Error) {
    this.#text = text;
    this.failure = failure;
  }

  /** `{"key": value, …}`: calls `each` with every key, to read its value. */
  object(field: string, each: (key: string) => void): void {
    this.#expect('{', field);
    if (this.#take('}')) return;
    do {
      const key = this.string(field);
      this.#expect(':', field);
      each(key);
    } while (this.#take(','));
    this.#expect('}', field);
  }

  /** `[1, 2, …]`: whole numbers from 0 to 2⁵³ − 1, at most `limit` of them. */
  integers(field: string, limit: number): number[] {
    const values: number[] = [];
    this.#expect('[', field);
    if (this.#take(']')) return values;
    do {
      if (values.length === limit) throw this.failure(field, `expected at most ${limit} numbers`);
      values.push(this.#integer(field));
    } while (this.#take(','));
    this.#expect(']', field);
    return values;
  }

  string(field: string): string {
    this.#skip();
    const from = this.#at;
    if (this.#text[from] !== '"') throw this.#unexpected('a string', field);
    let to = from;
    do {
      to = this.#text.indexOf('"', to + 1);
      if (to < 0) throw this.failure(field, 'expected a string that ends');
    } while (this.#escaped(to));
    this.#at = to + 1;
    let value: unknown;
    try {
      value = JSON.parse(this.#text.slice(from, to + 1));
    } catch {
      throw this.failure(field, 'expected a valid JSON string');
    }
    if (typeof value !== 'string' || /\p{Surrogate}/u.test(value)) throw this.failure(field, 'expected a string of Unicode text');
    return value;
  }

  /** Nothing but white space may follow. */
  end(): void {
    this.#skip();
    if (this.#at < this.#text.length) throw this.#unexpected('its end', 'header');
  }

  #integer(field: string): number {
    this.#skip();
    const number = /(?:0|[1-9]\d{0,15})(?![\d.eE])/y;
    number.lastIndex = this.#at;
    const [digits] = number.exec(this.#text) ?? [];
    const value = Number(digits);
    if (digits === undefined || !Number.isSafeInteger(value)) throw this.#unexpected('a whole number from 0 to 2⁵³ − 1', field);
    this.#at += digits.length;
    return value;
  }

  // A quote is escaped when an odd number of backslashes stands before it.
  #escaped(quote: number): boolean {
    let from = quote;
    while (this.#text[from - 1] === '\\') from--;
    return (quote - from) % 2 === 1;
  }

  #skip(): void {
    while (' \n\r\t'.includes(this.#text[this.#at] ?? 'end')) this.#at++;
  }

  #take(character: string): boolean {
    this.#skip();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #expect(character: string, field: string): void {
    if (!this.#take(character)) throw this.#unexpected(`"${character}"`, field);
  }

  #unexpected(expected: string, field: string): Error {
    const rest = this.#text.slice(this.#at, this.#at + 20);
    return this.failure(
      field,
      `expected ${expected} at character ${this.#at} but received ${rest === '' ? 'the end' : JSON.stringify(rest)}`,
    );
  }
}
