import { ArgumentError } from '../../native/errors.ts';
import { fromTypedArray, type Tensor } from '../../tensor/index.ts';

/** Token ids of several texts, and which of them are no padding. */
export class TokenBatch {
  /** A row of ids for each text; of one length where padding was asked for. */
  readonly inputIds: readonly (readonly number[])[];
  /** 1 for tokens, 0 for padding. */
  readonly attentionMask: readonly (readonly number[])[];

  constructor(inputIds: readonly (readonly number[])[], attentionMask: readonly (readonly number[])[]) {
    this.inputIds = inputIds;
    this.attentionMask = attentionMask;
  }

  /**
   * Both as int64 tensors `[B, L]` on the CPU.
   *
   * @throws ArgumentError when the rows differ in length: ask for padding then.
   */
  toTensors(): { inputIds: Tensor; attentionMask: Tensor } {
    return { inputIds: toTensor(this.inputIds), attentionMask: toTensor(this.attentionMask) };
  }
}

function toTensor(rows: readonly (readonly number[])[]): Tensor {
  const length = rows[0]?.length ?? 0;
  const other = rows.find((row) => row.length !== length);
  if (other !== undefined)
    throw new ArgumentError('padding', 'rows of one length', `rows of ${length} and ${other.length} tokens`);
  return fromTypedArray(BigInt64Array.from(rows.flat(), BigInt), [rows.length, length]);
}
