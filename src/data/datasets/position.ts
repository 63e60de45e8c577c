import { ArgumentError } from '../../native/errors.ts';
import { JsonFields } from '../../native/fields.ts';
import type { Json } from '../../native/files.ts';

/** A saved position's fields, each checked: it may have been saved by another version, or of other data. */
export class Position extends JsonFields {
  /** @throws ArgumentError */
  constructor(json: unknown, path = 'position') {
    super(json, path, (field, expected, received) => new ArgumentError(field, expected, received));
  }

  /** A whole number from 0 up to `most`. */
  count(name: string, most = Number.MAX_SAFE_INTEGER): number {
    const value = this.whole(name, 0);
    if (value === undefined || value > most) throw this.refusal(name, `a whole number from 0 to ${most}`);
    return value;
  }

  /** A list with `length` elements, if given. */
  elements(name: string, length?: number): readonly Json[] {
    const value = this.list(name);
    const fits = value !== undefined && (length === undefined || value.length === length);
    if (!fits) throw this.refusal(name, `a list${length === undefined ? '' : ` of ${length}`}`);
    return value;
  }
}
