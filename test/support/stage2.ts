import path from 'node:path';
import {
  Blip2ForGenerativePretraining,
  building,
  type LanguageModel,
  loadTrainedParts,
  OptForCausalLM,
  openSafetensors,
  type PromptedText,
  parseGenerativePretrainingConfig,
  parseOptConfig,
  parseT5Config,
  T5ForConditionalGeneration,
  type Tensor,
} from '../../src/index.ts';
import { fromLavisName } from '../../src/models/qformer/weights.ts';

/** Our name of what the second stage trains. */
const ours = (theirs: string): string => fromLavisName(theirs) ?? theirs.replace(/^(?:opt|t5)_proj\./, 'language_projection.');

const FOLDER = path.join(import.meta.dirname, '../fixtures/stage2');

const shape = { hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 2 };
const words = { vocab_size: 40 };
const OPT = { ...shape, ...words, ffn_dim: 24, max_position_embeddings: 32, dropout: 0.1 };
const T5 = {
  ...words,
  d_model: 16,
  d_kv: 6,
  d_ff: 24,
  num_layers: 2,
  num_heads: 2,
  relative_attention_num_buckets: 8,
  relative_attention_max_distance: 16,
  feed_forward_proj: 'gated-gelu',
  dense_act_fn: 'gelu',
  tie_word_embeddings: false,
};

/** What LAVIS gave for a batch. */
export interface Stage2Case {
  readonly texts: readonly PromptedText[];
  readonly loss: Tensor;
  /** Under our names. */
  readonly gradients: ReadonlyMap<string, Tensor>;
}

/** LAVIS's second stage with a kind of language model: models with its weights, and what it gave. The models are in evaluation mode. */
export interface Stage2Golden {
  readonly file: string;
  readonly model: Blip2ForGenerativePretraining;
  /** Frozen. */
  readonly languageModel: LanguageModel;
  /** `[3, 5, 20]` */
  readonly features: Tensor;
  readonly cases: Readonly<Record<string, Stage2Case>>;
}

type Facts = Record<string, { rows: number[][]; prompt: number; inputs: number[][]; outputs: number[][] }>;

/** The trained part of the goldens' shape. */
export function goldenModel(): Blip2ForGenerativePretraining {
  const qformer = {
    ...shape,
    intermediate_size: 24,
    encoder_hidden_size: 20,
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
  };
  const config = parseGenerativePretrainingConfig({ num_query_tokens: 4, language_hidden_size: 16, qformer_config: qformer });
  return building({}, () => new Blip2ForGenerativePretraining(config));
}

export function stage2Golden(kind: 'opt' | 't5'): Stage2Golden {
  const file = path.join(FOLDER, `${kind}.safetensors`);
  const model = goldenModel().eval();
  loadTrainedParts(model, file);
  const languageModel = building({}, () =>
    kind === 'opt' ? new OptForCausalLM(parseOptConfig(OPT)) : new T5ForConditionalGeneration(parseT5Config(T5)),
  );
  languageModel.freeze().eval();
  const stored = openSafetensors(file);
  const get = (name: string): Tensor => stored.get(name);
  languageModel.loadStateDict(
    new Map([...languageModel.namedParameters().keys()].map((name) => [name, get(`${kind}_model.${name}`)])),
  );
  const facts = JSON.parse(stored.metadata.get('facts') as string) as Facts;
  const cases = Object.entries(facts).map(([name, { rows, prompt, inputs, outputs }]) => {
    const texts =
      kind === 'opt'
        ? rows.map((row) => ({ prompt: row.slice(0, prompt), target: row.slice(prompt) }))
        : inputs.map((row, i) => ({ prompt: row, target: outputs[i] as number[] }));
    const gradients = stored.names.flatMap((key) => {
      const theirs = key.startsWith(`${name}.grad.`) ? key.slice(`${name}.grad.`.length) : undefined;
      return theirs === undefined ? [] : [[ours(theirs), get(key)] as const];
    });
    return [name, { texts, loss: get(`${name}.loss`), gradients: new Map(gradients) }] as const;
  });
  return { file, model, languageModel, features: get('features'), cases: Object.fromEntries(cases) };
}
