import type { Module, Tensor } from 'blip2';
import type { Concept } from '../emoji/concepts.ts';
import type { LanguageBatch } from './batches.ts';
import { newOpt } from './opt.ts';
import { newT5 } from './t5.ts';
import type { LanguageKind } from './tokenizer.ts';

/** A language model, and what training asks of it. */
export interface LanguageModel {
  readonly model: Module;
  /** config.json */
  readonly config: object;
  /** Logits at the labels' places, `[B, L or M, V]`. */
  readonly logits: (batch: LanguageBatch) => Tensor;
}

const makers: Record<LanguageKind, (concepts: readonly Concept[]) => LanguageModel> = { opt: newOpt, t5: newT5 };

export function newLanguageModel(kind: LanguageKind, concepts: readonly Concept[]): LanguageModel {
  return makers[kind](concepts);
}
