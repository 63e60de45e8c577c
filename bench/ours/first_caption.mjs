// From nothing to a caption: import, load, decode the picture, generate. Settings: materials, picture, threads.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Blip2 } from 'blip2';

const { materials, picture, threads } = JSON.parse(process.argv[2]);
const blip2 = await Blip2.fromPretrained(path.join(materials, 'demo'), { threads });
const options = { prompt: 'a photo of', numBeams: 5, maxNewTokens: 12 };
const caption = await blip2.caption(path.join(materials, picture), options);
const peakKiB = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
console.log(JSON.stringify({ caption, peakKiB }));
await blip2.close();
