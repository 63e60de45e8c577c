import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { Chat } from '../tasks/index.ts';
import { note, print } from './exit.ts';
import { DEFAULT_HELP, modelFolder } from './model.ts';
import { addWritingFields, checkPictures, withBlip2, writingSettings } from './writing.ts';

/** `blip2 chat …` */
export function addChat(program: Command): void {
  const command = program
    .command('chat')
    .description('talk about a picture')
    .argument('<picture>', 'a file')
    .option('--model <model>', "a folder or the Hub's owner/name: Hugging Face's Blip2ForConditionalGeneration")
    .option('--template <text>', 'how a turn reads, with {} for the question and {} for the answer')
    .option('--json', 'a JSON object a line: { "question": …, "answer": … }')
    .addHelpText(
      'after',
      `
${DEFAULT_HELP}
A question a line, from the terminal or another program. Ctrl-C stops an answer, and between answers
ends the conversation, as Ctrl-D does.

Examples:
  blip2 chat beach.jpg --model Salesforce/blip2-flan-t5-xl --dtype bfloat16
  printf 'what is this?\\nwhere is it?\\n' | blip2 chat beach.jpg`,
    )
    .action(chat);
  addWritingFields(command, ['workers', 'batchSize', 'numBeams', 'lengthPenalty']);
}

interface ChatFlags extends Readonly<Record<string, unknown>> {
  readonly model?: string;
  readonly template?: string;
  readonly json?: boolean;
}

async function chat(image: string, flags: ChatFlags): Promise<void> {
  const { model, template, json = false, ...rest } = flags;
  const { where, writing } = writingSettings(rest);
  checkPictures([image]);
  const { Chat } = await import('../tasks/index.ts');
  await withBlip2(await modelFolder(model), where, async (blip2) => {
    const talk = await Chat.start(blip2, image, { ...writing, ...(template === undefined ? {} : { template }) });
    try {
      await converse(talk, json);
    } finally {
      talk.close();
    }
  });
}

/** Reads questions to the end of the input. */
async function converse(talk: Chat, json: boolean): Promise<void> {
  const lines = createInterface({ input: process.stdin, output: process.stderr, prompt: '> ' });
  const terminal = process.stdin.isTTY === true;
  let answering: AbortController | undefined;
  // On a terminal readline sees Ctrl-C itself; otherwise it is the system's signal, which ends the process.
  lines.on('SIGINT', () => (answering === undefined ? lines.close() : answering.abort()));
  try {
    if (terminal) lines.prompt();
    for await (const line of lines) {
      const question = line.trim();
      if (question !== '') {
        answering = new AbortController();
        await answer(talk, question, answering.signal, json);
        answering = undefined;
      }
      if (terminal) lines.prompt();
    }
  } finally {
    lines.close();
  }
}

async function answer(talk: Chat, question: string, signal: AbortSignal, json: boolean): Promise<void> {
  let said = '';
  try {
    for await (const piece of talk.ask(question, { signal })) {
      if (!json) process.stdout.write(piece);
      said += piece;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    note(' (stopped)');
    return;
  }
  print(json ? JSON.stringify({ question, answer: said }) : '');
}
