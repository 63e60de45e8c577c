/** An entry of the double-array trie that SentencePiece's charsmap is: Darts-clone's units of 32 bits. */
const hasLeaf = (unit: number): boolean => ((unit >>> 8) & 1) === 1;
const leafOf = (unit: number): number => unit & 0x7fffffff;
const labelOf = (unit: number): number => (unit & 0x800000ff) >>> 0;
const offsetOf = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);

/** Longest character, in bytes of UTF-8, that is looked up as a whole although several code points make it up. */
const WHOLE = 5;

/**
 * SentencePiece's normalisation by a table (`precompiled_charsmap`), as the `tokenizers` library applies it: character by character (extended
 * grapheme clusters), those of at most five bytes as a whole, otherwise by code points; what the table does not have stays. Of several
 * entries that a character begins with, the shortest counts, and stands for the whole character.
 */
export class Precompiled {
  readonly #trie: Uint32Array;
  readonly #texts: Buffer;
  readonly #characters = new Intl.Segmenter('und', { granularity: 'grapheme' });
  /** What has been looked up before. */
  readonly #known = new Map<string, string | null>();

  /**
   * @param charsmap the table: the trie's size in bytes, the trie, and the texts that it points to, each ended by a zero byte
   * @throws Error where it is none
   */
  constructor(charsmap: Buffer) {
    const bytes = charsmap.length < 4 ? -1 : charsmap.readUInt32LE(0);
    if (bytes < 4 || bytes % 4 !== 0 || 4 + bytes > charsmap.length) {
      throw new Error(`precompiled_charsmap: expected the size of a trie within ${charsmap.length} bytes but received ${bytes}`);
    }
    this.#trie = Uint32Array.from({ length: bytes / 4 }, (_, i) => charsmap.readUInt32LE(4 + 4 * i));
    this.#texts = charsmap.subarray(4 + bytes);
  }

  /** The text with every character that the table has replaced. */
  normalize(text: string): string {
    let normalized = '';
    for (const { segment } of this.#characters.segment(text)) normalized += this.#character(segment);
    return normalized;
  }

  #character(character: string): string {
    if (character.length <= WHOLE) {
      const known = this.#known.get(character);
      if (known !== undefined && known !== null) return known;
      const whole = known === undefined && Buffer.byteLength(character) <= WHOLE ? this.#lookedUp(character) : null;
      if (whole !== null) return whole;
    }
    return [...character].map((point) => this.#known.get(point) ?? this.#lookedUp(point) ?? point).join('');
  }

  /** What the table has for the shortest beginning of some text; null where it has nothing. */
  #lookedUp(text: string): string | null {
    const found = this.#find(Buffer.from(text));
    this.#known.set(text, found);
    return found;
  }

  #find(key: Buffer): string | null {
    const trie = this.#trie;
    let at = offsetOf(trie[0] as number);
    for (const byte of key) {
      if (byte === 0) return null;
      at ^= byte;
      const unit = trie[at];
      if (unit === undefined || labelOf(unit) !== byte) return null;
      at ^= offsetOf(unit);
      if (hasLeaf(unit)) return this.#text(leafOf(trie[at] ?? 0));
    }
    return null;
  }

  #text(start: number): string {
    const end = this.#texts.indexOf(0, start);
    return this.#texts.toString('utf8', start, end < 0 ? this.#texts.length : end);
  }
}
