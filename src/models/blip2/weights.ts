import type { CheckpointRules } from '../checkpoint.ts';
import type { JsonObject } from '../fields.ts';
import { languageKind, type TextConfig } from './language/kinds.ts';

/** Buffers of old versions. */
const IGNORED = /(^|\.)position_ids$/;

/** Hugging Face keeps these in float32 when all else is float16. */
const FLOAT32 = /^(query_tokens$|qformer\.)/;

const LANGUAGE_MODEL = 'language_model.';

/** The rules of a model that writes text, its language model's among them. */
export function generationRules(config: TextConfig): CheckpointRules {
  const kind = languageKind(config.modelType);
  const alias = (name: string): string | undefined => {
    const own = name.startsWith(LANGUAGE_MODEL) ? kind.alias(config, name.slice(LANGUAGE_MODEL.length)) : undefined;
    return own && LANGUAGE_MODEL + own;
  };
  return { aliases: { get: alias }, ignored: either(IGNORED, kind.ignored), float32: either(FLOAT32, kind.float32) };
}

/** The rules of a model that matches pictures and text. */
export const retrievalRules: CheckpointRules = { aliases: new Map(), ignored: IGNORED, float32: FLOAT32 };

function either(a: RegExp, b: RegExp): RegExp {
  return new RegExp(`${a.source}|${b.source}`);
}

/** generation_config.json: the language model's special ids. */
export function generationConfigJson(config: TextConfig): JsonObject {
  return {
    _from_model_config: true,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenId,
    pad_token_id: config.padTokenId,
    ...languageKind(config.modelType).generationConfig(config),
  };
}
