// node text_spiece.mjs FOLDER EXPECTED FORM: the part of text_spiece.py that is done in TypeScript.
import { readFileSync } from 'node:fs';
import { Tokenizer } from '../../dist/index.js';

const [, , folder, expected, form] = process.argv;
const tokenizer = Tokenizer.fromPretrained(folder);
const cases = JSON.parse(readFileSync(expected, 'utf8'));
const wrong = cases.filter(({ text, ids, decoded, plain }) => {
  const ours = tokenizer.encode(text).inputIds[0];
  return (
    ours.join() !== ids.join() ||
    tokenizer.decode(ids) !== decoded ||
    tokenizer.decode(ids, { skipSpecialTokens: true }) !== plain
  );
});
console.log(`${form}: ${cases.length} texts, ${wrong.length} with other ids or text`);
for (const { text, ids, decoded, plain } of wrong.slice(0, 12)) {
  console.log(JSON.stringify(text), ids.join(' '), '|', tokenizer.encode(text).inputIds[0].join(' '));
  console.log(
    '  ',
    JSON.stringify([decoded, tokenizer.decode(ids)]),
    JSON.stringify([plain, tokenizer.decode(ids, { skipSpecialTokens: true })]),
  );
}
process.exitCode = wrong.length > 0 ? 1 : 0;
