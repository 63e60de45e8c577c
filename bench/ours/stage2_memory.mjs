// The most memory that a few steps of the second stage take, above what the process has once its models are there. Settings: llm, precision, batch, steps.
import { readFileSync, writeFileSync } from 'node:fs';
import { setThreads } from 'blip2';
import { load, trainer } from './stage2-model.mjs';

const memory = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))[1]);

const { materials, threads, llm, precision, batch, steps } = JSON.parse(process.argv[2]);
setThreads(threads);
const loaded = load(materials, llm, batch, precision);
const step = trainer(loaded, precision);
writeFileSync('/proc/self/clear_refs', '5'); // the peak is counted from here
const start = memory('VmRSS');
for (let i = 0; i < steps; i++) step();
const facts = { aboveStartKiB: memory('VmHWM') - start, startKiB: start, parameters: loaded.model.parameterCount() };
console.log(JSON.stringify(facts));
