import fs from 'node:fs';
import path from 'node:path';
import { Blip2ForPretraining, loadSafetensors, parsePretrainingConfig, type Stage1Batch, type Tensor } from '../../src/index.ts';
import { fromLavisName } from '../../src/models/qformer/weights.ts';

/** The shape that a golden's configuration tells. */
export interface GoldenConfig {
  vocab: number;
  hidden: number;
  layers: number;
  heads: number;
  ffn: number;
  maxpos: number;
  vis: number;
  nq: number;
  embed: number;
  pad_token_id: number;
}

/** A folder of LAVIS's goldens of the first stage. */
export function golden(name: string): string {
  return path.join(import.meta.dirname, '../fixtures', name);
}

export function readJson<T>(...parts: string[]): T {
  return JSON.parse(fs.readFileSync(path.join(...parts), 'utf8')) as T;
}

/** Tensors under our names of a file that has LAVIS's. */
export function lavisTensors(file: string): Map<string, Tensor> {
  return new Map(
    [...loadSafetensors(file)].flatMap(([name, value]) => {
      const own = fromLavisName(name);
      if (own === undefined) throw new Error(`no place for ${name}`);
      return own === null ? [] : [[own, value] as const];
    }),
  );
}

/** A model of a golden's shape, whose features come normalised, without dropout. */
export function buildGolden(config: GoldenConfig, weights: string): Blip2ForPretraining {
  const model = new Blip2ForPretraining(
    parsePretrainingConfig({
      qformer_config: {
        vocab_size: config.vocab,
        hidden_size: config.hidden,
        num_hidden_layers: config.layers,
        num_attention_heads: config.heads,
        intermediate_size: config.ffn,
        max_position_embeddings: config.maxpos,
        encoder_hidden_size: config.vis,
      },
      num_query_tokens: config.nq,
      image_text_hidden_size: config.embed,
      vision_layer_norm: false,
    }),
  ).eval();
  model.loadStateDict(lavisTensors(weights));
  return model;
}

/** A batch whose lengths are told by its padding. */
export function batchOf(imageFeatures: Tensor, inputIds: Tensor, imageIds?: Tensor, pad = 0): Stage1Batch {
  const lengths = inputIds.ne(pad).sum(1).toArray() as number[];
  return { imageFeatures, inputIds, lengths, imageIds };
}
