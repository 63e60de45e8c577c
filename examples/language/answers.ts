import { inferenceMode, scope, type Tokenizer } from 'blip2';
import { toBatch } from './batches.ts';
import type { LanguageModel } from './models.ts';
import type { Question } from './questions.ts';
import { answerMarks } from './texts.ts';
import type { LanguageKind } from './tokenizer.ts';

/** Places for a description's words: as many as the longest has. */
const SLOTS = 13;

/**
 * Which questions a language model answers rightly: every token of the answer is the likeliest, given those before it.
 * @param descriptions what it reads before each question; null: nothing, it is blind
 */
export function rightAnswers(
  { logits }: LanguageModel,
  { kind, tokenizer }: { kind: LanguageKind; tokenizer: Tokenizer },
  questions: readonly Question[],
  descriptions: readonly (readonly string[])[] | null,
): boolean[] {
  const lessons = questions.map(({ question, answer }, i) => ({
    description: descriptions?.[i] ?? [],
    pieces: [
      { text: `question: ${question} ${answerMarks[kind]}`, said: false },
      { text: answer, said: true },
    ],
  }));
  return inferenceMode(() =>
    scope(() => {
      const batch = toBatch({ kind, tokenizer }, lessons, descriptions === null ? 0 : SLOTS, null);
      const { labels } = batch;
      const wrong = logits(batch).argmax(-1).ne(labels).logicalAnd(labels.ge(0)).any(1);
      return (wrong.float().toArray() as number[]).map((each) => each === 0);
    }),
  );
}
