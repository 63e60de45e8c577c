// Which model a command uses: a folder, or one of the Hub's, which is downloaded once.
import type { DownloadOptions } from '../hub/index.ts';
import { isHubId, pretrainedFolder } from '../hub/place.ts';
import { note, untilSignal } from './exit.ts';
import { Progress } from './progress.ts';

/** What is asked where neither `--model` nor the environment names a model. */
const DEFAULT = 'Salesforce/blip2-opt-2.7b';

/** For the help of commands that can do without `--model`. */
export const DEFAULT_HELP = `Without --model: the environment's BLIP2_MODEL, or else ${DEFAULT}. A model of the Hub (owner/name) is
downloaded once, into the cache of Python's huggingface_hub;
HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE count.`;

/** The folder of `--model`, or of the model that is taken where there is none, which is said. */
export function modelFolder(flag: string | undefined): Promise<string> {
  if (flag !== undefined) return downloaded(flag);
  const named = process.env.BLIP2_MODEL?.trim();
  const model = named ? named : DEFAULT;
  note(`model: ${model} (${named ? 'BLIP2_MODEL says so' : 'the default'}; --model takes another)`);
  return downloaded(model);
}

/** A folder as it is; of a model of the Hub the folder that it is downloaded to, which is shown. */
export async function downloaded(model: string, options: Pick<DownloadOptions, 'weights'> = {}): Promise<string> {
  const progress = new Progress('downloading', 'MB');
  let begun = false;
  const onProgress: DownloadOptions['onProgress'] = ({ done, total, cache }) => {
    if (!begun) {
      note(`downloading ${model}: ${size(total)} into ${cache}`);
      progress.start(Math.ceil(total / 1e6));
    }
    begun = true;
    progress.update(Math.ceil(done / 1e6));
  };
  try {
    return await untilSignal((signal) => pretrainedFolder(model, { ...options, signal, onProgress }));
  } finally {
    if (begun) progress.stop();
  }
}

/** Settings of which these fields may name models of the Hub, with folders in their places. */
export async function withFolders<S extends object>(
  settings: S,
  names: readonly string[],
  options: Pick<DownloadOptions, 'weights'> = {},
): Promise<S> {
  const own = { ...settings } as Record<string, unknown>;
  for (const name of names) {
    const model = own[name];
    if (typeof model === 'string' && isHubId(model)) own[name] = await downloaded(model, options);
  }
  return own as S;
}

function size(bytes: number): string {
  return bytes < 1e9 ? `${Math.ceil(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
