// A Blip2 with two workers in a process of its own, whose threads and memory are looked at. Prints what was seen as JSON.
import fs from 'node:fs';
import { Blip2, WorkerError } from '../../dist/index.js';

const [way, folder, ...photos] = process.argv.slice(2);
const threads = [];
process.on('worker', (worker) => threads.push(worker));
const blip2 = await Blip2.fromPretrained(folder, { threads: 1, workers: 2 });
const short = { maxNewTokens: 3, numBeams: 1 };

/** Ends a worker in the middle of a call that both share. */
async function dying() {
  const held = await blip2.encode([photos[0], photos[1]]); // one in each
  const long = blip2.caption([...photos, photos[0]], { minNewTokens: 100, maxNewTokens: 100 });
  const ended = new Promise((resolve) => threads[0].once('exit', resolve));
  void threads[0].terminate();
  const split = await outcome(long);
  await ended;
  const seen = {
    split,
    held: (await Promise.all(held.map((image) => outcome(blip2.caption(image, short))))).sort((a) => (a === 'done' ? -1 : 1)),
    mixed: await outcome(blip2.caption([...held, photos[2]], short)),
    later: await outcome(blip2.caption(photos, short)),
  };
  for (const image of held) image.dispose();
  await threads[1].terminate();
  seen.all = await outcome(blip2.caption(photos, short));
  await blip2.close();
  return seen;
}

/** The weights' file in memory: how often it is mapped, and how many KiB of it there are (Pss shares a page among its mappings). */
async function memory() {
  await blip2.caption(
    photos.flatMap((photo) => [photo, photo]),
    short,
  );
  const weights = fs.statSync(`${folder}/model.safetensors`).size / 1024;
  let [pages, mappings] = [0, 0];
  try {
    let ours = false;
    for (const line of fs.readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
      if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) ours = line.endsWith('model.safetensors');
      if (/^[0-9a-f]+-[0-9a-f]+ /.test(line) && ours) mappings++;
      if (ours && line.startsWith('Pss:')) pages += Number(/\d+/.exec(line)[0]);
    }
  } catch {
    pages = -1;
  }
  await blip2.close();
  return { weights, pages, mappings };
}

async function idle() {
  return { captions: (await blip2.caption(photos, short)).length };
}

console.log(JSON.stringify(await { dying, memory, idle }[way]()));

async function outcome(call) {
  const end = await call.then(
    () => 'done',
    (error) => error,
  );
  return end instanceof WorkerError ? { code: end.code, message: end.message } : end;
}
