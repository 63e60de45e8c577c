// `npm run demo:encoders`: trains the models that the demo freezes, and writes their weights. A run that was ended goes on where it was.

import path from 'node:path';
import { Blip2Error } from 'blip2';
import { languageLearner } from './language.ts';
import { readOptions } from './options.ts';
import { learnVision } from './vision/learn.ts';
import { VISION_WEIGHTS } from './vision/weights.ts';

const options = readOptions(process.argv.slice(2), path.dirname(VISION_WEIGHTS));

const learn = { vision: learnVision, opt: languageLearner('opt'), t5: languageLearner('t5') };

try {
  for (const part of options.parts) if (!(await learn[part](options))) break;
} catch (error) {
  if (!(error instanceof Blip2Error)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
