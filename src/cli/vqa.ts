import type { Command } from 'commander';
import type { AnswerOptions, Blip2, RankedAnswer, RankOptions } from '../pipeline/index.ts';
import { print, UsageError, untilSignal } from './exit.ts';
import { DEFAULT_HELP, modelFolder } from './model.ts';
import { addWritingFields, checkChoosing, checkPictures, withBlip2, writingSettings } from './writing.ts';

/** `blip2 vqa …` */
export function addVqa(program: Command): void {
  const command = program
    .command('vqa')
    .description('answer questions about a picture')
    .argument('<picture>', 'a file')
    .argument('<question...>', 'each in quotation marks')
    .option('--model <model>', "a folder or the Hub's owner/name: Hugging Face's Blip2ForConditionalGeneration")
    .option('--template <text>', "how it is asked, with {} for the question; the paper's prompt unless told")
    .option('--answers <answer...>', 'answers to choose from, by their probability')
    .option('--json', 'a JSON object a line: { "image": …, "question": …, "answer": … }')
    .addHelpText(
      'after',
      `
${DEFAULT_HELP}
Unless told, 5 beams, at most 10 tokens and a length penalty of -1. With --answers, nothing is written.

Examples:
  blip2 vqa beach.jpg "what is the dog doing?"
  blip2 vqa beach.jpg "is it day or night?" --answers day night --model Salesforce/blip2-flan-t5-xl --json`,
    )
    .action(vqa);
  addWritingFields(command);
}

interface VqaFlags extends Readonly<Record<string, unknown>> {
  readonly model?: string;
  readonly template?: string;
  readonly answers?: readonly string[];
  readonly json?: boolean;
}

interface Answered {
  readonly answer: string;
  readonly ranked?: readonly RankedAnswer[];
}

async function vqa(image: string, questions: readonly string[], flags: VqaFlags): Promise<void> {
  const { model, template, answers, json = false, ...rest } = flags;
  const settings = writingSettings(rest);
  checkChoosing(answers, settings);
  // Said before the model is loaded.
  if (questions.some((question) => question.trim() === '')) throw new UsageError('a question must not be blank');
  const { where, writing } = settings;
  checkPictures([image]);
  const folder = await modelFolder(model);
  const asked = await untilSignal((signal) =>
    withBlip2(folder, where, (blip2) => {
      const options = { ...writing, signal, ...(template === undefined ? {} : { template }) };
      return answered(blip2, image, questions, answers, options);
    }),
  );
  for (const [i, { answer, ranked }] of asked.entries()) {
    const question = questions[i];
    if (json) print(JSON.stringify({ image, question, answer, ...(ranked === undefined ? {} : { ranked }) }));
    else if (ranked === undefined) print(questions.length === 1 ? answer : `${question} ${answer}`);
    else {
      if (questions.length > 1) print(`${question}`);
      for (const { answer: given, probability } of ranked) print(`${(100 * probability).toFixed(1).padStart(6)} %  ${given}`);
    }
  }
}

async function answered(
  blip2: Blip2,
  image: string,
  questions: readonly string[],
  answers: readonly string[] | undefined,
  options: AnswerOptions & RankOptions,
): Promise<Answered[]> {
  const pictures = questions.map(() => image);
  if (answers === undefined) return (await blip2.answer(pictures, questions, options)).map((answer) => ({ answer }));
  const ranked = await blip2.rank(pictures, questions, answers, options);
  return ranked.map((own) => ({ answer: (own[0] as RankedAnswer).answer, ranked: own }));
}
