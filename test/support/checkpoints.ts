import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ImageProcessor, Tokenizer } from '../../src/data/index.ts';
import { parseBlip2Config } from '../../src/models/blip2/config.ts';
import { Blip2ForConditionalGeneration } from '../../src/models/blip2/model.ts';
import { Blip2ForImageTextRetrieval } from '../../src/models/blip2/retrieval.ts';
import { building } from '../../src/nn/index.ts';
import { Generator } from '../../src/tensor/index.ts';

const FIXTURES = path.join(import.meta.dirname, '../fixtures');
const QUERIES = 4;
const SIZE = 28;

const vision = {
  hidden_size: 24,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  image_size: SIZE,
  patch_size: 14,
  initializer_range: 0.3,
};
const qformer = {
  hidden_size: 24,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  encoder_hidden_size: 24,
  initializer_range: 0.3,
};

/** T5 calls them otherwise than OPT, whose fields it passes over. */
const T5 = { d_model: 32, d_kv: 16, d_ff: 64, num_layers: 2, num_decoder_layers: 2, num_heads: 2, initializer_factor: 2 };

/** A folder with a small random captioning model and everything beside it, as a user would have it; the caller's to delete. */
export function generativeCheckpoint(
  overrides: { hiddenSize?: number; layers?: number; languageModel?: 'opt' | 't5' } = {},
): string {
  const { languageModel = 'opt' } = overrides;
  const folder = fs.mkdtempSync(path.join(tmpdir(), 'blip2-checkpoint-'));
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    fs.copyFileSync(path.join(FIXTURES, `text/${languageModel}`, name), path.join(folder, name));
  }
  const { vocabSize } = Tokenizer.fromPretrained(folder);
  const config = parseBlip2Config({
    num_query_tokens: QUERIES,
    image_token_index: vocabSize,
    initializer_range: 0.3,
    vision_config: vision,
    qformer_config: qformer,
    text_config: {
      model_type: languageModel,
      vocab_size: vocabSize + 1,
      ...(languageModel === 't5' ? T5 : {}),
      hidden_size: overrides.hiddenSize ?? 32,
      ffn_dim: 64,
      num_hidden_layers: overrides.layers ?? 2,
      num_attention_heads: 2,
      max_position_embeddings: 128,
      init_std: 0.3,
    },
  });
  const model = building({ generator: new Generator(5) }, () => new Blip2ForConditionalGeneration(config));
  model.savePretrained(folder);
  model.dispose();
  imageProcessor().savePretrained(folder);
  return folder;
}

/** The same with a small random retrieval model. */
export function retrievalCheckpoint(): string {
  const folder = fs.mkdtempSync(path.join(tmpdir(), 'blip2-checkpoint-'));
  for (const name of fs.readdirSync(path.join(FIXTURES, 'text/bert'))) {
    fs.copyFileSync(path.join(FIXTURES, 'text/bert', name), path.join(folder, name));
  }
  const { vocabSize } = Tokenizer.fromPretrained(folder);
  const config = parseBlip2Config({
    num_query_tokens: QUERIES,
    image_text_hidden_size: 16,
    initializer_range: 0.3,
    vision_config: vision,
    qformer_config: { ...qformer, use_qformer_text_input: true, vocab_size: vocabSize },
  });
  const model = building({ generator: new Generator(6) }, () => new Blip2ForImageTextRetrieval(config));
  model.savePretrained(folder);
  model.dispose();
  imageProcessor().savePretrained(folder);
  return folder;
}

function imageProcessor(): ImageProcessor {
  return new ImageProcessor({ size: { height: SIZE, width: SIZE } });
}

/** Photographs to describe. */
export const photos = ['chelsea.png', 'coffee.png', 'rocket.jpg'].map((name) => path.join(FIXTURES, 'photos', name));
