// From nothing to a caption: import, load, decode the picture, generate. `first-caption.mjs <checkpoint> <picture> <threads>`.
import { readFileSync } from 'node:fs';
import { Blip2 } from 'blip2';

const [folder, picture, threads] = process.argv.slice(2);
const blip2 = await Blip2.fromPretrained(folder, { threads: Number(threads) });
const caption = await blip2.caption(picture, { prompt: 'a photo of', numBeams: 5, maxNewTokens: 12 });
const peakKiB = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
console.log(JSON.stringify({ caption, peakKiB }));
await blip2.close();
