import fs from 'node:fs';
import path from 'node:path';
import { anObject, aPath, checkArgument, checkKeys, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { type Json, readJsonObject, writeFileAtomically } from '../native/files.ts';
import type { Tensor } from '../tensor/index.ts';
import { FileFields } from './fields.ts';
import { ImageProcessor, type ImageSource, type LoadImageOptions } from './images.ts';
import { checkEncodeOptions } from './text/tokenizer.ts';
import { type EncodeOptions, TokenBatch, Tokenizer } from './text.ts';

/** More than any model has; what a file says is held against it before so many image tokens are written. */
const MOST_QUERIES = 65_536;

/** The token that stands for one query of the Q-Former in a language model's input. */
const IMAGE_TOKEN = '<image>';

/** Options of {@link Blip2Processor.preprocess}. */
export interface PreprocessOptions extends EncodeOptions, LoadImageOptions {}

/** A model's input: what came of the pictures, of the text, or both. */
export interface ModelInput {
  /** `[B, 3, S, S]`, float32. */
  pixelValues?: Tensor;
  /** `[B, Q + L]`, int64: Q image tokens, where there are pictures too, and the text. */
  inputIds?: Tensor;
  /** `[B, Q + L]`, int64: 1 for tokens, 0 for padding. */
  attentionMask?: Tensor;
}

/** Pictures and text to a BLIP-2's input, as Hugging Face's `Blip2Processor` makes it. */
export class Blip2Processor {
  /** The pictures' half. */
  readonly imageProcessor: ImageProcessor;
  /** With `<image>` among its tokens. */
  readonly tokenizer: Tokenizer;
  /** How many image tokens stand before the text; null where the model adds the queries by itself. */
  readonly numQueryTokens: number | null;

  constructor(imageProcessor: ImageProcessor, tokenizer: Tokenizer, numQueryTokens: number | null) {
    checkArgument('imageProcessor', imageProcessor, having('preprocess'));
    checkArgument('tokenizer', tokenizer, having('withSpecialToken'));
    if (numQueryTokens !== null && !(Number.isInteger(numQueryTokens) && numQueryTokens >= 1 && numQueryTokens <= MOST_QUERIES)) {
      throw new ArgumentError('numQueryTokens', `a whole number from 1 to ${MOST_QUERIES}, or null`, String(numQueryTokens));
    }
    this.imageProcessor = imageProcessor;
    this.tokenizer = tokenizer.withSpecialToken(IMAGE_TOKEN);
    this.numQueryTokens = numQueryTokens;
  }

  /**
   * Reads a checkpoint's folder: the tokenizer's files, `preprocessor_config.json`, and `processor_config.json`, which says how many image
   * tokens there are. Where it does not, `config.json` does if it has an `image_token_index`.
   *
   * @throws FileError
   */
  static fromPretrained(folder: string): Blip2Processor {
    checkArgument('folder', folder, aPath);
    return new Blip2Processor(ImageProcessor.fromPretrained(folder), Tokenizer.fromPretrained(folder), readQueryTokens(folder));
  }

  /** Writes what {@link fromPretrained}, and Hugging Face's, reads. */
  savePretrained(folder: string): void {
    checkArgument('folder', folder, aPath);
    this.tokenizer.savePretrained(folder);
    this.imageProcessor.savePretrained(folder);
    const config: Json = { num_query_tokens: this.numQueryTokens, processor_class: 'Blip2Processor' };
    writeFileAtomically(path.join(folder, 'processor_config.json'), `${JSON.stringify(config, null, 2)}\n`);
  }

  /** The id of `<image>`. */
  get imageTokenId(): number {
    return this.tokenizer.tokenToId(IMAGE_TOKEN) as number;
  }

  /**
   * Token ids of texts with, where `withImage`, the image tokens in front: `[<image> × Q] [padding] [</s>] text`. They count in `maxLength`, are never
   * cut or padded, and the texts are padded on the left for decoder-only models (OPT), unless the configuration or `paddingSide` says
   * otherwise.
   */
  encode(texts: string | readonly string[], withImage: boolean, options: EncodeOptions = {}): TokenBatch {
    checkArgument('options', options, anObject);
    const queries = this.numQueryTokens ?? 0;
    const { maxLength, paddingSide = this.#side(), ...rest } = options;
    const limit = maxLength === undefined ? {} : { maxLength: maxLength - queries };
    const { inputIds, attentionMask } = this.tokenizer.encode(texts, { ...rest, ...limit, paddingSide });
    if (!withImage || queries === 0) return new TokenBatch(inputIds, attentionMask);
    const before =
      (value: number) =>
      (row: readonly number[]): number[] => [...Array<number>(queries).fill(value), ...row];
    return new TokenBatch(inputIds.map(before(this.imageTokenId)), attentionMask.map(before(1)));
  }

  /**
   * The input tensors of pictures, texts or both, on the CPU. Texts of one batch are padded to the longest, unless told otherwise.
   *
   * @throws ArgumentError without either, or when there are not as many texts as pictures.
   * @throws ImageError for a picture that cannot be decoded.
   */
  async preprocess(
    input: { images?: ImageSource | readonly ImageSource[]; text?: string | readonly string[] },
    options: PreprocessOptions = {},
  ): Promise<ModelInput> {
    checkArgument('input', input, anObject);
    checkArgument('options', options, anObject);
    const { images, text } = input;
    const { applyOrientation, limitInputPixels, ...encoding } = options;
    checkEncodeOptions(encoding);
    checkKeys('input', input, ['images', 'text']);
    if (images === undefined && text === undefined) throw new ArgumentError('input', 'images or text', 'neither');
    const result: ModelInput = {};
    if (text !== undefined) {
      const texts = typeof text === 'string' ? [text] : text;
      const pictures = Array.isArray(images) ? images.length : images === undefined ? undefined : 1;
      if (pictures !== undefined && this.numQueryTokens !== null && pictures !== texts.length) {
        throw new ArgumentError('text', `${pictures} texts, one a picture`, String(texts.length));
      }
      const padding = encoding.padding ?? 'longest';
      const truncation = encoding.truncation ?? (encoding.maxLength !== undefined && encoding.padding === undefined);
      const batch = this.encode(texts, images !== undefined, { ...encoding, padding, truncation });
      Object.assign(result, batch.toTensors());
    }
    if (images !== undefined) {
      const loading = {
        ...(applyOrientation === undefined ? {} : { applyOrientation }),
        ...(limitInputPixels === undefined ? {} : { limitInputPixels }),
      };
      try {
        result.pixelValues = await this.imageProcessor.preprocess(images, loading);
      } catch (error) {
        result.inputIds?.dispose();
        result.attentionMask?.dispose();
        throw error;
      }
    }
    return result;
  }

  // Of the models that BLIP-2 comes with, those whose words are byte pairs generate after their input, and padding must not come between.
  #side(): 'left' | 'right' {
    const generates = this.tokenizer.kind === 'BPE' || this.tokenizer.kind === 'WordLevel';
    return this.tokenizer.paddingSide ?? (generates ? 'left' : 'right');
  }
}

function readQueryTokens(folder: string): number | null {
  const read = (name: string): FileFields | undefined => {
    const file = path.join(folder, name);
    return fs.existsSync(file) ? new FileFields(file, readJsonObject(file)) : undefined;
  };
  const processor = read('processor_config.json');
  const own = processor?.whole('num_query_tokens', 1, MOST_QUERIES);
  if (own !== undefined) return own;
  const model = read('config.json');
  const index = model?.whole('image_token_index', 0) ?? model?.whole('image_token_id', 0);
  return index === undefined ? null : (model?.whole('num_query_tokens', 1, MOST_QUERIES) ?? 32);
}
