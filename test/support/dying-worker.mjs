// Ends the worker thread of a Blip2 in the middle of a caption, by `terminate` or by an error that nothing catches, and prints what became of the calls
// that waited. A process of its own, as Jest keeps the process's events, of which `worker` gives the thread away, to itself.
import { Blip2, WorkerError } from '../../dist/index.js';

const [folder, way, ...photos] = process.argv.slice(2);
let thread;
process.on('worker', (worker) => {
  thread ??= worker;
});
const blip2 = await Blip2.fromPretrained(folder, { threads: 1 });
const long = { minNewTokens: 60, maxNewTokens: 60 };
const pieces = [];
const stream = async () => {
  for await (const piece of blip2.streamCaption(photos[0], long)) {
    pieces.push(piece);
    // In the middle: the first tokens have come, the other calls wait behind.
    if (pieces.length !== 3) continue;
    if (way === 'terminate') void thread.terminate();
    else thread.postMessage(null); // no request: reading its type throws in the thread
  }
};
const calls = {
  stream: stream(),
  caption: blip2.caption(photos, long),
  answer: blip2.answer(photos[0], 'what is it?', long),
  encode: blip2.encode(photos[0]),
};
const outcomes = {};
for (const [name, call] of Object.entries(calls)) outcomes[name] = await outcome(call);
outcomes.later = await outcome(blip2.caption(photos[0]));
await blip2.close();
console.log(JSON.stringify({ pieces: pieces.length, outcomes }));

async function outcome(call) {
  const end = await call.then(
    () => 'done',
    (error) => error,
  );
  return end instanceof WorkerError ? { code: end.code, message: end.message } : String(end);
}
