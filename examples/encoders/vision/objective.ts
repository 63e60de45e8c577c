import { fromTypedArray, keep, type Objective, type StepLosses, scope, type Tensor, tensor, tokenLoss } from 'blip2';
import { normalised } from '../../emoji/pictures.ts';
import type { Labelled } from './pictures.ts';
import type { SceneReader } from './reader.ts';

const wholes = ['concept', 'colour', 'place', 'size'] as const;

/** A batch on its way: normalised pictures `[B, 3, 64, 64]` and the classes asked for. */
export type Asked = Readonly<Record<'pictures' | 'patchPriors' | 'priors' | 'patches' | (typeof wholes)[number], Tensor>>;

/** How much each question counts beside that for the concepts. */
const WEIGHTS = { patches: 1, concept: 1, colour: 0.2, place: 0.2, size: 0.2 } as const;

/**
 * Cross-entropy of the concept of every patch (or ground), and of concept, colour, place and size of the picture. No sentence is read.
 *
 * The concepts that no training picture shows on this ground or in this place have no part in the softmax: the logits are adjusted by the
 * log of the training pictures' prior (Menon et al., 2021). Else the tower learns that a pair that is kept from it cannot be.
 */
export class ReadingObjective implements Objective<Labelled, Asked> {
  readonly #reader: SceneReader;
  /** What is added to the concepts' logits, by context: `[contexts, C + 1]`. */
  readonly #priors: Tensor;

  /** @param ruledOut for each context, 1 at the concepts that no training picture shows there */
  constructor(reader: SceneReader, ruledOut: readonly (readonly number[])[]) {
    this.#reader = reader;
    this.#priors = keep(scope(() => tensor(ruledOut.map((row) => [...row])).mul(-1e4)));
  }

  size(batch: Labelled): number {
    return batch.concept.length;
  }

  counts(batch: Labelled): Record<string, number> {
    return Object.fromEntries(Object.keys(WEIGHTS).map((name) => [name, batch.concept.length]));
  }

  prepare(batch: Labelled): Asked {
    const { pixels, patches, patchContexts, concept, context, colour, place, size } = batch;
    const of = (labels: BigInt64Array): Tensor => fromTypedArray(labels);
    return {
      pictures: normalised(pixels),
      patchPriors: this.#priors.indexSelect(0, of(patchContexts)),
      priors: this.#priors.narrow(1, 0, this.#priors.size(1) - 1).indexSelect(0, of(context)),
      patches: of(patches),
      concept: of(concept),
      colour: of(colour),
      place: of(place),
      size: of(size),
    };
  }

  losses({ pictures, patchPriors, priors, ...asked }: Asked): StepLosses {
    const readings = this.#reader.forward(pictures);
    const logits = {
      ...readings,
      concept: readings.concept.add(priors),
      patches: readings.patches.flatten(0, 1).add(patchPriors),
    };
    const names = ['patches', ...wholes] as const;
    const losses = Object.fromEntries(
      names.map((name) => [name, tokenLoss(logits[name], asked[name], { labelSmoothing: 0 })]),
    ) as Record<(typeof names)[number], Tensor>;
    const loss = scope(() => names.map((name) => losses[name].mul(WEIGHTS[name])).reduce((sum, one) => sum.add(one)));
    const right = (name: 'patches' | 'concept'): Tensor => {
      const counts = asked[name].ne(-100);
      return logits[name].detach().argmax(-1).eq(asked[name]).logicalAnd(counts).sum().div(counts.sum().clamp(1));
    };
    return { loss, losses, statistics: { patches: right('patches'), concept: right('concept') } };
  }
}
