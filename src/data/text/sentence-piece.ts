import { FileError } from '../../native/errors.ts';
import { type Json, readBytes } from '../../native/files.ts';
import type { FileFields } from '../fields.ts';
import { namedToken, specialToken } from './special-tokens.ts';
import { template } from './template.ts';

// The fields of sentencepiece_model.proto that are read.
const PIECES = 1;
const TRAINER = 2;
const NORMALIZER = 3;
const [PIECE, SCORE, TYPE] = [1, 2, 3];
const [MODEL_TYPE, UNKNOWN_ID] = [3, 40];
const CHARSMAP = 2;

const UNIGRAM = 1;
/** A piece that stands for no text: `<pad>`, `</s>`. */
const CONTROL = 3;
/** A piece that text is split at before anything else. */
const USER_DEFINED = 4;

/** One field of a message of Protocol Buffers: a whole number, four bytes, or bytes. */
interface Field {
  readonly number: number;
  readonly value: number | Buffer;
}

/**
 * T5's tokenizer from SentencePiece's own file, in the form of `tokenizer.json`, as Hugging Face converts it: the pieces, behind them
 * `<extra_id_99>` to `<extra_id_0>` (as many as `extra_ids` says), and `</s>` after every text.
 * @throws FileError for a file that is none, or of another kind than Unigram
 */
export function sentencePieceUnigram(file: string, maxBytes: number, config: FileFields): { readonly [key: string]: Json } {
  const fail = (problem: string): never => {
    throw new FileError(file, `is no SentencePiece model that is understood: ${problem}`);
  };
  const message = [...fieldsOf(readBytes(file, maxBytes), fail)];
  const part = (number: number): Field[] => {
    const bytes = message.find((field) => field.number === number)?.value;
    return Buffer.isBuffer(bytes) ? [...fieldsOf(bytes, fail)] : [];
  };
  const trainer = part(TRAINER);
  const kind = numberOf(trainer, MODEL_TYPE) ?? UNIGRAM;
  if (kind !== UNIGRAM) fail(`expected a Unigram model (1) for trainer_spec.model_type but received ${kind}`);
  const pieces = message.flatMap(({ number, value }) =>
    number === PIECES && Buffer.isBuffer(value) ? [pieceOf([...fieldsOf(value, fail)])] : [],
  );
  if (pieces.length === 0) fail('it has no pieces');
  const unknown = numberOf(trainer, UNKNOWN_ID) ?? 0;
  if (unknown >= pieces.length) fail(`expected one of ${pieces.length} pieces for trainer_spec.unk_id but received ${unknown}`);
  const extra = Array.from({ length: config.whole('extra_ids', 0) ?? 100 }, (_, i) => `<extra_id_${i}>`).reverse();
  const vocab: Json = [...pieces.map(({ piece, score }) => [piece, score]), ...extra.map((token) => [token, 0])];
  const named = [
    namedToken(config, 'pad_token') ?? '<pad>',
    namedToken(config, 'eos_token') ?? '</s>',
    namedToken(config, 'unk_token') ?? '<unk>',
  ];
  const added = pieces.flatMap(({ piece, type }, id) =>
    type === CONTROL || type === USER_DEFINED || named.includes(piece)
      ? [{ ...specialToken(piece, id), special: type !== USER_DEFINED }]
      : [],
  );
  const eos = named[1] as string;
  const end = pieces.findIndex(({ piece }) => piece === eos);
  const charsmap = part(NORMALIZER).find(({ number }) => number === CHARSMAP)?.value;
  const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true };
  return {
    added_tokens: [...added, ...extra.map((token, i) => specialToken(token, pieces.length + i))],
    normalizer:
      Buffer.isBuffer(charsmap) && charsmap.length > 0
        ? { type: 'Precompiled', precompiled_charsmap: charsmap.toString('base64') }
        : null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, metaspace] },
    post_processor: end < 0 ? null : template([], [[eos, end]]),
    decoder: metaspace,
    model: { type: 'Unigram', unk_id: unknown, vocab, byte_fallback: false },
  };
}

function pieceOf(fields: readonly Field[]): { piece: string; score: number; type: number } {
  const piece = fields.find(({ number }) => number === PIECE)?.value;
  const score = fields.find(({ number }) => number === SCORE)?.value;
  return {
    piece: Buffer.isBuffer(piece) ? piece.toString('utf8') : '',
    score: Buffer.isBuffer(score) && score.length === 4 ? score.readFloatLE(0) : 0,
    type: numberOf(fields, TYPE) ?? 1,
  };
}

function numberOf(fields: readonly Field[], number: number): number | undefined {
  const value = fields.findLast((field) => field.number === number)?.value;
  return typeof value === 'number' ? value : undefined;
}

/** The fields of a message, in order; numbers of 64 bits lose what is beyond 2⁵³. */
function* fieldsOf(bytes: Buffer, fail: (problem: string) => never): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; scale < 2 ** 70; scale *= 128) {
      const byte = bytes[at++] ?? fail('it ends within a number');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    return fail('a number has more than ten bytes');
  };
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) fail('it ends within a field');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    switch (key % 8) {
      case 0:
        yield { number, value: varint() };
        break;
      case 1:
        yield { number, value: take(8) };
        break;
      case 2:
        yield { number, value: take(varint()) };
        break;
      case 5:
        yield { number, value: take(4) };
        break;
      default:
        fail(`a field has wire type ${key % 8}`);
    }
  }
}
