import { checkArgument, having } from '../../native/arguments.ts';
import { ArgumentError } from '../../native/errors.ts';
import { type Module, StateDictError } from '../../nn/index.ts';
import { cat, openWeights, type Tensor, type TensorFile } from '../../tensor/index.ts';
import { readConfig } from '../checkpoint.ts';
import { Renaming } from '../renaming.ts';
import { type Origin, prepareTransfer } from '../transfer.ts';
import { parseQFormerConfig, type QFormerConfig } from './config.ts';
import type { QFormerEmbeddings } from './embeddings.ts';
import type { QFormerModel } from './model.ts';

/** BERT's names, without `bert.`, and ours. */
const names = new Renaming([
  ['embeddings.LayerNorm.*', 'qformer.layernorm.*'],
  ['embeddings.word_embeddings.*', 'embeddings.word_embeddings.*'],
  ['embeddings.position_embeddings.*', 'embeddings.position_embeddings.*'],
  ['encoder.layer.#.attention.self.*', 'qformer.encoder.layer.#.attention.attention.*'],
  ['encoder.layer.#.attention.output.*', 'qformer.encoder.layer.#.attention.output.*'],
  ['encoder.layer.#.intermediate.*', 'qformer.encoder.layer.#.intermediate.*'],
  ['encoder.layer.#.output.*', 'qformer.encoder.layer.#.output.*'],
  ['cls.predictions.bias', 'cls.predictions.bias'],
  ['cls.predictions.transform.*', 'cls.predictions.transform.*'],
]);

/** Tables with a row for each word: BLIP-2's vocabulary has a word more. */
const BY_WORD = /^(?:embeddings\.word_embeddings\.weight|cls\.predictions\.bias)$/;

/** What the Q-Former has no place for: kinds of segments, the pooler, the head for next sentences, buffers, and what is tied. */
const IGNORED =
  /^(?:embeddings\.(?:token_type_embeddings\.weight|position_ids)|pooler\..*|cls\.seq_relationship\..*|cls\.predictions\.decoder\..*)$/;

/**
 * The Q-Former's configuration for a BERT's folder (`config.json` as Hugging Face has it): its sizes, text input, and one word more, `[DEC]`,
 * whose id is BERT's number of words. Cross-attention and the pictures' width are BLIP-2's own.
 * @throws FileError for a file that is missing, not as expected, or of another model
 */
export function bertQFormerConfig(folder: string): QFormerConfig {
  return readConfig(folder, (json) => {
    if (json.model_type !== 'bert') throw new ArgumentError('model_type', '"bert"', JSON.stringify(json.model_type) ?? 'nothing');
    const positions = json.position_embedding_type ?? 'absolute';
    if (positions !== 'absolute') throw new ArgumentError('position_embedding_type', '"absolute"', JSON.stringify(positions));
    const bert = parseQFormerConfig(json, undefined, '');
    return { ...bert, vocabSize: bert.vocabSize + 1, useQformerTextInput: true };
  });
}

/**
 * Starts a Q-Former from a BERT (§3.1): self-attention, the feed-forward blocks of text, and copies of them for the queries; words,
 * positions and, where there is one, the language-model head. What BERT has not keeps its random values: cross-attention, the row of
 * `[DEC]` and whatever else the vocabulary has beyond BERT's, queries, projections.
 *
 * @param folder a BERT's folder as Hugging Face has it, in safetensors or `pytorch_model.bin`; its names may have `bert.` before them, and
 * LayerNorms may have the `gamma` and `beta` of old files
 * @returns names of the parameters that keep their values
 * @throws StateDictError listing what does not fit, before anything is changed; ArgumentError where heads, activation or eps differ;
 * FileError for a file that is missing or not as expected
 */
export function initFromBert(
  model: Module & { readonly embeddings: QFormerEmbeddings; readonly qformer: QFormerModel },
  folder: string,
): { fresh: string[] } {
  checkArgument('model', model, having('qformer', 'embeddings'));
  expectSameShape(model.qformer.config, bertQFormerConfig(folder));
  const file = openWeights(folder);
  try {
    const prefix = file.names.some((name) => name.startsWith('bert.')) ? 'bert.' : '';
    const resolve = (name: string): string => findName(file, prefix, name);
    const { missing, unexpected, run } = prepareTransfer(file, model, (name) => originOf(name, resolve));
    const head = file.names.some((name) => name.startsWith('cls.predictions.'));
    const needed = missing.filter((name) => bertName(name) !== undefined && (head || !name.startsWith('cls.')));
    const odd = unexpected.filter((name) => !IGNORED.test(name.startsWith(prefix) ? name.slice(prefix.length) : name));
    // Without a head of ours, there is no place for theirs.
    const left = odd.filter((name) => !name.startsWith('cls.predictions.'));
    if (needed.length + left.length > 0) throw new StateDictError(needed, left, [], file.path);
    run();
    return { fresh: missing };
  } finally {
    file.close();
  }
}

/** BERT's name of what a parameter starts from; of the queries' blocks, that of the text's. */
function bertName(name: string): string | undefined {
  return names.toTheirs(name.replace(/\.(intermediate|output)_query\./, '.$1.'));
}

/** The name in the file of one of BERT's parameters. */
function findName(file: TensorFile, prefix: string, name: string): string {
  const full = name.startsWith('cls.') ? name : prefix + name;
  const old = full.replace(/LayerNorm\.weight$/, 'LayerNorm.gamma').replace(/LayerNorm\.bias$/, 'LayerNorm.beta');
  return !file.has(full) && file.has(old) ? old : full;
}

function originOf(name: string, resolve: (name: string) => string): Origin | undefined {
  const theirs = bertName(name);
  if (theirs === undefined) return undefined;
  const from = [resolve(theirs)];
  return BY_WORD.test(name) ? { from, make: ([table], current) => withMoreRows(table as Tensor, current) } : { from };
}

/** The table, and after its last row those of the current one. */
function withMoreRows(table: Tensor, current: Tensor): Tensor {
  const more = current.size(0) - table.size(0);
  return more > 0 ? cat([table.to(current.dtype), current.narrow(0, table.size(0), more)]) : table;
}

/** What weights do not show, but what they were trained for. */
function expectSameShape(own: QFormerConfig, bert: QFormerConfig): void {
  for (const [field, name] of [
    ['numAttentionHeads', 'num_attention_heads'],
    ['hiddenAct', 'hidden_act'],
    ['layerNormEps', 'layer_norm_eps'],
  ] as const) {
    if (own[field] !== bert[field])
      throw new ArgumentError(`qformer_config.${name}`, `${bert[field]}, as BERT has it`, String(own[field]));
  }
}
