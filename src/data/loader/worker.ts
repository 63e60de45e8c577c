// A thread that prepares pictures: answers each job by its number.
import { parentPort, workerData } from 'node:worker_threads';
import type { ImageTransform } from '../transforms.ts';
import type { Answer, Question } from './pool.ts';
import { type Job, limited, type Prepared, prepare } from './prepare.ts';

const port = parentPort;
if (port === null) throw new Error('this file is started as a worker thread');
const transform = workerData as ImageTransform;

// While one picture is decoded by sharp's threads, this one resizes another.
const run = limited(2, (job: Job): Promise<Prepared> => prepare(job, transform));

port.on('message', async ({ id, job }: Question) => {
  const prepared = await run(job); // what it throws is no fault of a file, and ends the thread
  const answer: Answer = { id, prepared };
  port.postMessage(answer, 'pixels' in prepared ? [prepared.pixels.buffer as ArrayBuffer] : []);
});
