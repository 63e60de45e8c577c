import { qformerNames } from '../qformer/weights.ts';
import { languageKinds, type TextConfig } from './language/kinds.ts';

/**
 * LAVIS's names of a parameter of ours, the tower's aside. It names the language model and the projection to it after the kind (`opt_model.`,
 * `t5_proj.`): for each of the given kinds there is one.
 */
export function lavisNames(name: string, kinds: readonly TextConfig['modelType'][] = languageKinds): readonly string[] {
  const theirs = qformerNames.toTheirs(name);
  if (theirs !== undefined) return [theirs];
  const [, model, own] = /^language_(?:(model)|projection)\.(.+)$/.exec(name) ?? [];
  return own === undefined ? [] : kinds.map((kind) => `${kind}_${model ?? 'proj'}.${own}`);
}
