// R rows, L places a row, T tokens in all, D hidden.

import { aCount, arrayOf, checkArgument, having } from '../../native/arguments.ts';
import { checkTensors } from '../../tensor/base.ts';
import { type Device, fromTypedArray, type Tensor } from '../../tensor/index.ts';

/** Where a row's tokens stand among all: `length` of them from `start` on. */
export interface PackedRow {
  /** The first one’s place among all tokens. */
  readonly start: number;
  /** Tokens, at least 1. */
  readonly length: number;
}

/**
 * Texts of several lengths without their padding: `[T, D]` instead of `[R, L, D]`. What works on each token alone (projections,
 * feed-forward blocks, norms) then works on tokens only; attention puts them back into their places. It is made of lengths that the host
 * knows, so nothing waits for a device.
 */
export class Packing {
  /** R. */
  readonly rows: number;
  /** L, places a row. */
  readonly length: number;
  /** `[R·L]`: the token at each place; at padding, which a mask must hide, one of the row's own. */
  readonly places: Tensor;
  /** `[T]`: the place of each token. */
  readonly tokens: Tensor;
  /** `[R]`: each row's first token. */
  readonly starts: Tensor;

  /**
   * @param rows each with a token at least; together they name every token once
   * @param length places a row, at least as many as the longest has tokens
   */
  constructor(rows: readonly PackedRow[], length: number, device: Device = 'cpu') {
    checkArgument('rows', rows, arrayOf(having('start', 'length')));
    const total = rows.reduce((sum, row) => sum + row.length, 0);
    const places = new Int32Array(rows.length * length);
    const tokens = new Int32Array(total);
    for (const [r, row] of rows.entries()) {
      places.fill(row.start, r * length, (r + 1) * length);
      for (let i = 0; i < row.length; i++) {
        places[r * length + i] = row.start + i;
        tokens[row.start + i] = r * length + i;
      }
    }
    const upload = (data: Int32Array): Tensor => fromTypedArray(data, [data.length], { device });
    this.rows = rows.length;
    this.length = length;
    this.places = upload(places);
    this.tokens = upload(tokens);
    this.starts = upload(Int32Array.from(rows, (row) => row.start));
  }

  /** Rows that follow one another. */
  static of(lengths: readonly number[], length: number, device: Device = 'cpu'): Packing {
    checkArgument('lengths', lengths, arrayOf(aCount));
    let start = 0;
    const rows = lengths.map((own) => {
      start += own;
      return { start: start - own, length: own };
    });
    return new Packing(rows, length, device);
  }

  /** `[R, L, …]` → `[T, …]`. */
  pack(x: Tensor): Tensor {
    checkTensors({ x });
    return x.flatten(0, 1).indexSelect(0, this.tokens);
  }

  /** `[T, D]` → `[R, L, D]`, with anything at padding. */
  unpack(x: Tensor): Tensor {
    checkTensors({ x });
    return x.indexSelect(0, this.places).view(this.rows, this.length, -1);
  }

  /** The rows' first tokens, `[T, D]` → `[R, D]`. */
  first(x: Tensor): Tensor {
    checkTensors({ x });
    return x.indexSelect(0, this.starts);
  }
}
