import { StateDictError } from '../../nn/index.ts';
import { openWeights } from '../../tensor/index.ts';
import { fromLavisName } from '../qformer/weights.ts';
import { type Origin, prepareTransfer } from '../transfer.ts';
import type { Blip2ForGenerativePretraining } from './generative-pretraining.ts';
import { lavisNames } from './lavis-names.ts';

/** The stage that comes before has no projection to a language model. */
const PROJECTION = /^language_projection\./;
/** What other models have that hold these parts: the first stage's heads and text, the frozen parts of a whole BLIP-2. */
const ELSEWHERE =
  /^(?:embeddings|cls|vision_projection|text_projection|itm_head|vision_model|language_model)\.|^temp$|^qformer\.encoder\.layer\.\d+\.(?:intermediate|output)\./;

/**
 * Starts the second stage where the first one ended: copies LayerNorm, queries and Q-Former; the projection to the language model, which the
 * first stage has not, keeps its values.
 *
 * @param source a training checkpoint of ours or LAVIS's (`.pth`) of the first stage; or of the second, or a whole BLIP-2 of Hugging Face's;
 * a projection of theirs is taken over where it has the model's shape
 * @throws FileError for a file that is none; StateDictError where something else is missing, or of another shape; nothing is changed then
 */
export function initFromStage1(model: Blip2ForGenerativePretraining, source: string): void {
  transfer(model, source, PROJECTION);
}

/**
 * Copies all that the second stage trains from a checkpoint of it: ours, LAVIS's (`.pth`, which has no frozen parts), or a whole BLIP-2 of
 * Hugging Face's.
 * @throws FileError for a file that is none; StateDictError where something is missing, or of another shape; nothing is changed then
 */
export function loadTrainedParts(model: Blip2ForGenerativePretraining, source: string): void {
  transfer(model, source, null);
}

function transfer(model: Blip2ForGenerativePretraining, source: string, mayMiss: RegExp | null): void {
  const file = openWeights(source);
  try {
    const root = file.names.some((name) => name.startsWith('model.Qformer.')) ? 'model.' : '';
    const lavis = file.names.some((name) => name.startsWith(`${root}Qformer.`));
    const own = model.stateDict();
    const { missing, unexpected, run } = prepareTransfer(file, model, (name): Origin | undefined => {
      const from = (lavis ? lavisNames(name).map((theirs) => root + theirs) : huggingFaceNames(name)).find((theirs) =>
        file.has(theirs),
      );
      if (from === undefined) return undefined;
      const fits = file.info(from).shape.join() === own.get(name)?.shape.join();
      return fits || mayMiss?.test(name) !== true ? { from: [from] } : undefined;
    });
    const needed = missing.filter((name) => mayMiss?.test(name) !== true);
    const ours = lavis ? unexpected.flatMap((name) => fromLavisName(name.slice(root.length)) ?? []) : unexpected;
    const strange = ours.filter((name) => !ELSEWHERE.test(name) && mayMiss?.test(name) !== true);
    if (needed.length + strange.length > 0) throw new StateDictError(needed, strange, [], file.path);
    run();
  } finally {
    file.close();
  }
}

/** The names that a parameter may have in a checkpoint of ours, or of Hugging Face's. */
function huggingFaceNames(name: string): readonly string[] {
  return [name, name.replace(/^ln_vision\./, 'vision_model.post_layernorm.')];
}
