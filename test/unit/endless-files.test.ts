import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  Blip2ForConditionalGeneration,
  cocoCaptions,
  FileError,
  ImageProcessor,
  imageFolder,
  jsonLines,
  loadImage,
  openQuestions,
  openSafetensors,
  openTorchFile,
  openWeights,
  Tokenizer,
  webDataset,
} from '../../src/index.ts';

// A pipe that nobody writes to never begins, and /dev/zero never ends.
const room = mkdtempSync(path.join(tmpdir(), 'blip2-endless-'));
afterAll(() => rmSync(room, { recursive: true, force: true }));

let count = 0;
/** A pipe, or a link to /dev/zero, of this name in a folder of its own. */
function endless(kind: 'a pipe' | 'a device', name: string): string {
  const folder = path.join(room, String(count++));
  mkdirSync(folder);
  const file = path.join(folder, name);
  if (kind === 'a pipe') execFileSync('mkfifo', [file]);
  else symlinkSync('/dev/zero', file);
  return file;
}

const stream = { seed: 0, shuffle: false, epochs: 1 };
const READERS: [what: string, name: string, read: (file: string, folder: string) => unknown][] = [
  ['safetensors', 'model.safetensors', openSafetensors],
  ['weights of a folder', 'model.safetensors', (_file, folder) => openWeights(folder)],
  ['a torch file', 'a.pth', openTorchFile],
  ['a configuration', 'config.json', (_file, folder) => Blip2ForConditionalGeneration.fromPretrained(folder)],
  ['a tokenizer', 'tokenizer.json', (_file, folder) => Tokenizer.fromPretrained(folder)],
  ['a vocabulary', 'vocab.txt', (_file, folder) => Tokenizer.fromPretrained(folder)],
  ['a preprocessor', 'preprocessor_config.json', (_file, folder) => ImageProcessor.fromPretrained(folder)],
  ['a picture', 'a.jpg', (file) => loadImage(file)],
  ['shards', 'a.tar', async (file) => (await webDataset(file)).stream(stream).next()],
  ['JSON lines', 'a.jsonl', async (file) => (await jsonLines(file)).stream(stream).next()],
  ['COCO', 'a.json', (file) => cocoCaptions(file)],
  ['questions', 'a.json', (file) => openQuestions(file)],
  ['a folder of pictures', 'pictures', (file) => imageFolder(file)],
];

for (const kind of ['a pipe', 'a device'] as const) {
  test.each(READERS)(`%s: ${kind} is refused at once`, async (_what, name, read) => {
    const file = endless(kind, name);
    await expect((async () => read(file, path.dirname(file)))()).rejects.toThrow(FileError);
  });
}
