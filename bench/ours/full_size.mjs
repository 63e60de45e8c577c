// A model of several billion weights, once: loading it, a first caption and a second, and the most memory that all of it takes above what
// the process had before. Settings: materials, threads, beams, newTokens.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Blip2ForConditionalGeneration, loadSafetensors, setThreads } from 'blip2';

const { materials, threads, beams, newTokens } = JSON.parse(process.argv[2]);
const memory = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))[1]);
const timed = async (work) => {
  const start = process.hrtime.bigint();
  const result = await work();
  return [result, Number(process.hrtime.bigint() - start) / 1e9];
};

setThreads(threads);
const pixelValues = loadSafetensors(path.join(materials, 'inputs.safetensors')).get('pixel_values').to('bfloat16');
writeFileSync('/proc/self/clear_refs', '5'); // the peak is counted from here
const start = memory('VmRSS');
// Hugging Face lays the weights over the file's pages, too.
const loading = { dtype: 'bfloat16', mapped: true };
const [model, loadSeconds] = await timed(() => Blip2ForConditionalGeneration.fromPretrained(materials, loading));
const parameters = model.parameterCount();
const options = { numBeams: beams, minNewTokens: newTokens, maxNewTokens: newTokens };
const caption = () => timed(() => model.generate({ pixelValues }, options));
const [first, firstSeconds] = await caption();
const [, captionSeconds] = await caption();
const score = first.sequencesScores.item();
const peakKiB = memory('VmHWM') - start;
console.log(JSON.stringify({ parameters, loadSeconds, firstSeconds, captionSeconds, peakKiB, score }));
