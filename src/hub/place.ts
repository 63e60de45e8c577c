import fs from 'node:fs';
import { aPath, checkArgument } from '../native/arguments.ts';
import { FileError } from '../native/errors.ts';
import type { DownloadOptions } from './download.ts';
import { HubError } from './errors.ts';

const ID = /^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9_][\w.-]{0,95}$/;

/** Whether a text may be the id of a repository, `owner/name`: nothing that begins like a path, and no other slash. */
export function isHubId(text: string): boolean {
  return ID.test(text) && !/\.\.|--|[.-]$|[.-]\/|\.(?:git|pth?|bin|safetensors|jsonl?)$/.test(text);
}

/**
 * The folder that a name of a model means: a folder or file of that name, wherever there is one, or else the Hub's repository, which is downloaded
 * unless the cache has it.
 * @throws FileError where there is no such folder and the name is no id; HubError where it cannot be had from the Hub
 */
export async function pretrainedFolder(place: string, options: DownloadOptions = {}): Promise<string> {
  checkArgument('place', place, aPath);
  if (fs.existsSync(place)) return place;
  if (!isHubId(place)) throw missingFolder(place);
  const { download } = await import('./download.ts');
  try {
    return await download(place, options);
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    const { code, status, message } = error;
    const problem = `there is no folder of this name, and of the Hub: ${message.slice(place.length + 2)}`;
    throw new HubError(code, place, problem, { status, cause: error });
  }
}

/** @throws FileError where there is no folder of this name */
export function checkThere(folder: string): void {
  if (!fs.existsSync(folder)) throw missingFolder(folder);
}

function missingFolder(place: string): FileError {
  const remedy = isHubId(place)
    ? `; for the Hub's repository of this name, give what download(${JSON.stringify(place)}) resolves to`
    : '';
  return new FileError(place, `there is no such folder${remedy}`);
}
