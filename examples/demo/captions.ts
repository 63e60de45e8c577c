import { noGrad, type Tensor } from 'blip2';
import { type Figures, figuresOf } from '../emoji/figures.ts';
import { normalised } from '../emoji/pictures.ts';
import type { Gallery } from './scenes.ts';
import type { Stage1 } from './stage1.ts';

/** A gallery with the captions that a model gave it. */
export interface Captioned {
  readonly gallery: Gallery;
  readonly given: readonly string[];
  readonly figures: Figures;
}

/** What the first stage's model itself says of normalised pictures `[B, 3, 64, 64]`: `[DEC]`, then the best of three beams. */
export async function captionsOf({ model, encoder, tokenizer }: Stage1, pictures: Tensor): Promise<string[]> {
  const imageFeatures = noGrad(() => encoder.encode(pictures));
  const { sequences } = await model.generate({ imageFeatures }, { numBeams: 3, maxLength: 24 });
  const captions = tokenizer.batchDecode(sequences.toArray() as number[][], { skipSpecialTokens: true });
  imageFeatures.dispose();
  sequences.dispose();
  return captions;
}

/** Captions a gallery, and counts what is right. */
export async function captioned(stage1: Stage1, gallery: Gallery): Promise<Captioned> {
  using pictures = normalised(gallery.pixels);
  const given = await captionsOf(stage1, pictures);
  return { gallery, given, figures: figuresOf(gallery.scenes, given) };
}
