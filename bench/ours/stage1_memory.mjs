// The most memory that a few steps of the first stage take, above what the process has once its model is there. Settings: kind, precision, batch, steps.
import { readFileSync, writeFileSync } from 'node:fs';
import { setThreads } from 'blip2';
import { load, trainer } from './stage1-model.mjs';

const memory = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))[1]);

const { materials, threads, kind, precision, batch, steps } = JSON.parse(process.argv[2]);
setThreads(threads);
const { model, texts, features } = load(materials, kind, batch);
const step = trainer(model.train(), () => ({ ...texts, imageFeatures: features }), precision);
writeFileSync('/proc/self/clear_refs', '5'); // the peak is counted from here
const start = memory('VmRSS');
for (let i = 0; i < steps; i++) step();
const facts = { aboveStartKiB: memory('VmHWM') - start, startKiB: start, parameters: model.parameterCount() };
console.log(JSON.stringify(facts));
