import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { threads } from 'blip2';
import { concepts as all } from '../emoji/concepts.ts';
import { learningDefaults, learnLanguage } from '../language/learn.ts';
import type { LanguageKind } from '../language/tokenizer.ts';
import type { EncoderOptions } from './options.ts';

/**
 * Trains a language model on text alone and writes its folder, with what made it and what it knows in `about.json`. Gives false where it was
 * stopped.
 */
export function languageLearner(kind: LanguageKind): (options: EncoderOptions) => Promise<boolean> {
  return async ({ out, runs, steps, precision, concepts = all.length }) => {
    const settings = { ...learningDefaults[kind], precision, ...(steps === undefined ? {} : { steps }) };
    const folder = path.join(out, kind);
    console.log(
      `training the language model (${kind}) for ${settings.steps} steps of ${settings.batchSize} texts on ${threads()} threads`,
    );
    const learned = await learnLanguage({
      ...settings,
      kind,
      concepts: all.slice(0, concepts),
      folder,
      run: path.join(runs, kind),
    });
    if (learned === null) return false;
    for (const [asked, share] of Object.entries(learned.answers)) console.log(`${asked}: ${share.toFixed(1)} %`);
    const about = {
      command: `npm run demo:encoders -- ${kind}`,
      parameters: learned.parameters,
      seconds: Math.round(learned.seconds),
      threads: threads(),
      'right answers about 200 described scenes, in percent': learned.answers,
      recipe: { ...settings, concepts },
    };
    await writeFile(path.join(folder, 'about.json'), `${JSON.stringify(about, null, 2)}\n`);
    console.log(`wrote ${folder}`);
    return true;
  };
}
