import { type EmojiScenes, heldOutKinds } from '../../emoji/dataset.ts';
import { questionKinds } from '../../language/questions.ts';
import type { Row, Section } from '../../report/section.ts';
import { type Conversation, converse } from '../conversation.ts';
import { type Language, type Told, tell } from '../questions.ts';
import { galleryOf } from '../scenes.ts';
import type { TrainedStage2 } from '../stage2.ts';
import { captionRows, captionTable } from './captions.ts';
import { pictureOf } from './retrieval.ts';
import type { ReportPart } from './stage1.ts';
import { lossCurves, millions } from './training.ts';

const TITLE = 'Captions of the whole model';
const CONVERSATIONS = 3;

/** What the whole model says of held-out scenes: captions, answers to questions that no picture ever came with, and short conversations. */
export async function stage2Report(
  stage2: TrainedStage2,
  language: Language,
  data: EmojiScenes,
  pictures: number,
): Promise<ReportPart> {
  const told: Told[] = [];
  const talks: Conversation[] = [];
  for (const kind of heldOutKinds) {
    const gallery = galleryOf(data, kind, pictures);
    const one = await tell(stage2.model, language, gallery, data.concepts);
    console.log(toldLine(one));
    told.push(one);
    talks.push(...(await converse(stage2.model, gallery, language, data.concepts, CONVERSATIONS)));
  }
  const captions = told.map(({ gallery, captions: given, figures }) => ({ gallery, given, figures }));
  const sections = (count: number): Section[] => [
    ...trainingSections(stage2, language),
    withCider(captionTable(TITLE, captions), told),
    answerTable(told),
    ...captions.map((one) => captionRows(TITLE, one, count)),
    ...told.map((one) => questionRows(one, count)),
    conversationRows(talks),
  ];
  return { page: sections(12), sheet: sections(4) };
}

function withCider(table: Section, told: readonly Told[]): Section {
  if (table.kind !== 'table') return table;
  const rows = table.rows.map((row, i) => [...row, told[i]?.cider.toFixed(2) ?? '']);
  return { ...table, head: [...table.head, 'CIDEr'], rows };
}

/** A gallery's figures in words. */
export function toldLine({ gallery, figures, cider, seeing, blind }: Told): string {
  const kinds = questionKinds.map((kind) => `${kind} ${seeing[kind].toFixed(1)}`).join(', ');
  return `${gallery.kind}: captions ${figures.exact.toFixed(1)} % exact, CIDEr ${cider.toFixed(2)}; answers ${seeing.all.toFixed(1)} % right (${kinds}), blind ${blind.all.toFixed(1)} %`;
}

function trainingSections(
  { recipe, curve, seconds, trainedParameters, languageParameters }: TrainedStage2,
  { kind }: Language,
): Section[] {
  return [
    {
      kind: 'table',
      title: 'Second stage',
      note: `${recipe.steps} steps of ${recipe.batchSize} pictures with captions in ${Math.round(seconds)} s. The language model has only ever read text.`,
      head: ['', 'parameters', ''],
      rows: [
        [`language model (${kind === 'opt' ? 'OPT' : 'T5'})`, millions(languageParameters), 'frozen'],
        ['Q-Former with its queries, and the projection', millions(trainedParameters), 'trained'],
      ],
    },
    lossCurves('Loss of the second stage', curve),
  ];
}

/** Right answers by kind of question, beside those of the language model alone. */
export function answerTable(told: readonly Told[]): Section {
  const columns = ['all', ...questionKinds] as const;
  return {
    kind: 'table',
    title: 'Zero-shot questions',
    note: 'Right answers in percent. No picture came with a question in training. Blind: the language model alone, which knows what is often right.',
    head: ['', ...columns],
    rows: told.flatMap(({ gallery, seeing, blind }) =>
      (
        [
          ['seeing', seeing],
          ['blind', blind],
        ] as const
      ).map(([words, answers]) => [`${gallery.kind}, ${words}`, ...columns.map((column) => answers[column].toFixed(1))]),
    ),
  };
}

/** Questions about the first pictures, one a picture and each kind in turn; then some that were answered wrongly. */
function questionRows({ gallery, asked }: Told, count: number): Section {
  const free = asked.filter(({ picture }) => gallery.scenes[picture]?.set !== 'openmoji').sort((a, b) => a.picture - b.picture);
  const first = free
    .filter(({ picture, kind }) => questionKinds.indexOf(kind) === picture % questionKinds.length)
    .slice(0, count);
  const wrong = free.filter((one) => one.given !== one.answer && !first.includes(one)).slice(0, count);
  return {
    kind: 'rows',
    title: `Questions, ${gallery.kind}`,
    note: `${first.length} as they come, then ${wrong.length} that were answered wrongly. The right answer is in grey.`,
    rows: [...first, ...wrong].map(({ picture, question, answer, given }): Row => {
      const right = given === answer;
      return {
        query: [pictureOf(gallery, picture), { text: question }],
        found: [{ text: given, mark: right ? 'right' : 'wrong' }, ...(right ? [] : [{ text: answer, mark: 'quiet' as const }])],
      };
    }),
  };
}

function conversationRows(talks: readonly Conversation[]): Section {
  return {
    kind: 'rows',
    title: 'Conversations',
    note: 'Each question goes to the model with all that was said before.',
    rows: talks.map(({ gallery, picture, turns }) => ({
      query: [pictureOf(gallery, picture)],
      found: turns.map(({ question, answer, given }) => {
        const wrongWords = [...question.split(' ').map(() => false), ...given.split(' ').map(() => given !== answer)];
        return { text: `${question} ${given}`, wrongWords };
      }),
    })),
  };
}
