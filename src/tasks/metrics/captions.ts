import { arrayOf, checkArgument, having } from '../../native/arguments.ts';
import { bleu } from './bleu.ts';
import { tokenizeCaption } from './caption-tokens.ts';
import { ciderD } from './cider.ts';
import { rougeL } from './rouge.ts';

/** Scores of a corpus of captions, on the scale of the COCO evaluation: BLEU and ROUGE-L from 0 to 1, CIDEr-D from 0 to 10. */
export interface CaptionMetrics {
  /** BLEU of single words. */
  readonly bleu1: number;
  /** BLEU of n-grams up to 2. */
  readonly bleu2: number;
  /** BLEU of n-grams up to 3. */
  readonly bleu3: number;
  /** BLEU of n-grams up to 4. */
  readonly bleu4: number;
  /** ROUGE-L. */
  readonly rougeL: number;
  /** CIDEr-D, which the COCO evaluation calls CIDEr. */
  readonly ciderD: number;
}

/**
 * {@link bleu}, {@link rougeL} and {@link ciderD} of captions as they were written; {@link tokenizeCaption} makes their tokens. The COCO evaluation's
 * METEOR and SPICE are Java programs and not among them.
 *
 * @throws ArgumentError for no captions, or one without references
 */
export function scoreCaptions(
  captions: readonly { readonly caption: string; readonly references: readonly string[] }[],
): CaptionMetrics {
  checkArgument('captions', captions, arrayOf(having('caption', 'references')));
  const pairs = captions.map(({ caption, references }) => ({
    candidate: tokenizeCaption(caption),
    references: references.map(tokenizeCaption),
  }));
  const [bleu1, bleu2, bleu3, bleu4] = bleu(pairs).corpus;
  return { bleu1, bleu2, bleu3, bleu4, rougeL: rougeL(pairs).corpus, ciderD: ciderD(pairs).corpus };
}
