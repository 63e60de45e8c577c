import { type BrokenSample, BrokenSamplesError, type Question, type QuestionSet } from '../data/index.ts';
import { aCount, checkArgument, having, optional } from '../native/arguments.ts';
import { evaluateVqa, type VqaModel, type VqaTaskOptions } from '../tasks/index.ts';
import type { TrainingEvaluation } from '../train/index.ts';
import { writeResults } from './evaluation-results.ts';

/** Options of {@link vqaEvaluation}: those of `evaluateVqa`, and when. */
export interface VqaDuringTraining extends Omit<VqaTaskOptions, 'output' | 'signal'> {
  /** Steps from one evaluation to the next. */
  readonly every: number;
  /** What is asked, of `openQuestions`. */
  readonly questions: QuestionSet;
  /** How many are asked, the first ones; all unless told. */
  readonly count?: number | undefined;
  /** Where `answers-00001000.json` and so on are written. Nowhere unless told. */
  readonly directory?: string | undefined;
  /** Whether `vqaAccuracy` chooses the best checkpoint; false unless told. */
  readonly best?: boolean | undefined;
}

/**
 * Zero-shot answers to questions about held-out pictures while the second stage is trained: the `evaluation` of a trainer. Where people's answers are
 * known, `vqaAccuracy` in per cent is its metric, and `vqaAccuracy/<kind>` by the kind of answer. It throws BrokenSamplesError where no picture can be used.
 *
 * @param model {@link Stage2Writer.model}
 */
export function vqaEvaluation(model: VqaModel, options: VqaDuringTraining): TrainingEvaluation {
  checkArgument('options', options, having('every', 'questions'));
  checkArgument('model', model, having('answer', 'encode'));
  const { every, questions: set, count, directory, best = false, ...asking } = options;
  checkArgument('every', every, aCount);
  checkArgument('questions', set, having('format', 'questions'));
  checkArgument('count', count, optional(aCount));
  const questions = { ...set, questions: set.questions.slice(0, count) };
  return {
    every,
    async run(step, signal) {
      const broken: BrokenSample[] = [];
      const onBroken = asking.onBroken && { onBroken: noting(asking.onBroken, broken) };
      const { answers, metrics } = await evaluateVqa(model, questions, { ...asking, ...onBroken, signal });
      // A run that goes on without its figures would be found out at its end.
      if (answers.length === 0) throw new BrokenSamplesError(broken.length, broken.length, broken.slice(-100));
      if (directory !== undefined) {
        const asked = new Map(questions.questions.map((question) => [question.questionId, question]));
        const results = answers.map((answer) => {
          const { question, answers: people = [] } = asked.get(answer.questionId) as Question;
          return { question, ...answer, people };
        });
        writeResults(directory, 'answers', step, results);
      }
      // Without people's answers there is a figure to choose by, which is never the best.
      if (metrics === null) return best ? { vqaAccuracy: Number.NaN } : {};
      const kinds = Object.entries(metrics.byAnswerType).map(([kind, accuracy]) => [`vqaAccuracy/${kind}`, accuracy]);
      return { vqaAccuracy: metrics.accuracy, ...Object.fromEntries(kinds) };
    },
    ...(best ? { best: { metric: 'vqaAccuracy', better: 'higher' } } : {}),
  };
}

/** Passes what is called for on, and keeps it. */
function noting<A>(call: (value: A) => void, kept: A[]): (value: A) => void {
  return (value) => {
    kept.push(value);
    call(value);
  };
}
