import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** What the environment says of the Hub, by the variables of Python's `huggingface_hub`. */
export interface HubEnvironment {
  /** `HF_ENDPOINT`: where the Hub is, without a slash at the end. */
  readonly endpoint: string;
  /** `HF_HUB_CACHE`, or `hub` in `HF_HOME`: the cache that all programs share. */
  readonly cache: string;
  /** `HF_TOKEN`, or what `hf auth login` has left in `HF_HOME`. */
  readonly token: string | undefined;
  /** `HF_HUB_OFFLINE`: whether there must be no requests. */
  readonly offline: boolean;
  /** `HF_HUB_DISABLE_XET`: whether files come over plain HTTP alone. */
  readonly plain: boolean;
}

type Variables = Readonly<Record<string, string | undefined>>;

/** Reads the environment. */
export function hubEnvironment(env: Variables = process.env): HubEnvironment {
  const home = inHome(given(env, 'HF_HOME') ?? path.join(given(env, 'XDG_CACHE_HOME') ?? '~/.cache', 'huggingface'));
  return {
    endpoint: (given(env, 'HF_ENDPOINT') ?? 'https://huggingface.co').replace(/\/+$/, ''),
    cache: inHome(given(env, 'HF_HUB_CACHE') ?? given(env, 'HUGGINGFACE_HUB_CACHE') ?? path.join(home, 'hub')),
    token: isOn(env.HF_HUB_DISABLE_IMPLICIT_TOKEN) ? undefined : tokenOf(env, home),
    offline: isOn(env.HF_HUB_OFFLINE) || isOn(env.TRANSFORMERS_OFFLINE),
    plain: isOn(env.HF_HUB_DISABLE_XET),
  };
}

/** A variable that is set to nothing is not set. */
function given(env: Variables, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

function isOn(value: string | undefined): boolean {
  return /^(?:1|on|yes|true)$/i.test(value?.trim() ?? '');
}

function inHome(place: string): string {
  return path.resolve(place.replace(/^~(?=$|\/)/, os.homedir()));
}

function tokenOf(env: Variables, home: string): string | undefined {
  const named = given(env, 'HF_TOKEN') ?? given(env, 'HUGGING_FACE_HUB_TOKEN');
  if (named !== undefined) return named;
  try {
    const file = inHome(given(env, 'HF_TOKEN_PATH') ?? path.join(home, 'token'));
    return given({ token: fs.statSync(file).isFile() ? fs.readFileSync(file, 'utf8') : undefined }, 'token');
  } catch {
    return undefined; // nobody has logged in
  }
}
