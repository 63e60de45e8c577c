// node tensorboard_events.mjs FOLDER: the part of tensorboard_events.py that is done in TypeScript. A run of six steps, killed after its
// checkpoint of step 3, and the one that went on from there; before them one that was killed before its first checkpoint.
import { TensorBoardLog } from '../../dist/index.js';

const [, , folder] = process.argv;
const record = (step, loss) => ({
  step,
  steps: 6,
  samples: 8 * step,
  losses: { loss, itc: loss / 3 },
  statistics: { temperature: 0.07 },
  learningRate: 1e-4,
  gradientNorm: 2.5,
  samplesPerSecond: 100,
  dataWait: 0.125,
  memory: 2 ** 30,
  secondsLeft: 1,
});
const killed = new TensorBoardLog(folder);
killed.open(0);
for (let step = 1; step <= 8; step++) killed.step(record(step, 30 + step));
killed.close();
const first = new TensorBoardLog(folder);
first.open(0);
for (let step = 1; step <= 5; step++) first.step(record(step, 10 + step));
first.evaluation(3, { 'text R@1': 0.25 });
first.close();
const second = new TensorBoardLog(folder);
second.open(3);
for (let step = 4; step <= 6; step++) second.step(record(step, 20 + step));
second.close();
