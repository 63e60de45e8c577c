import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { FileError } from './errors.ts';
import { makeFolder, reasonOf } from './files.ts';

/** What goes into a folder, and what of an earlier content goes with it. */
export interface FolderContent {
  /** The file without which nothing reads the folder, such as config.json. */
  readonly key: string;
  /** Whether a file of an earlier content is of no use beside the new one. */
  readonly outdated?: (name: string) => boolean;
  /** Writes the files into an empty folder. */
  write(folder: string): void;
}

/**
 * Writes files that belong together. A new folder appears whole or not at all. In one that is there, files of these names are replaced, outdated ones
 * removed, and others stay: everything is written aside before the first old file is touched, and whatever cannot be done is undone. The key file goes
 * first and comes last, so that a process that is killed in between leaves the old files, the new ones, or a folder that nothing reads; then both are
 * in the folder `.<number>.tmp` in it.
 *
 * @throws FileError where it cannot be written; what `write` throws
 */
export function writeFolder(directory: string, content: FolderContent): void {
  const target = path.resolve(directory);
  const there = fs.existsSync(target);
  const mark = `${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  const staging = there ? path.join(target, `.${mark}`) : path.join(path.dirname(target), `.${path.basename(target)}.${mark}`);
  try {
    attempt(directory, () => makeFolder(staging));
    content.write(staging);
    attempt(directory, () => {
      if (there) replace(target, staging, content);
      else fs.renameSync(staging, target);
      sync(there ? target : path.dirname(target));
    });
  } catch (error) {
    // What could not be undone is there to be taken back. Below what is no folder even `force` fails, and would hide why.
    if (!fs.existsSync(path.join(staging, OLD)) && fs.existsSync(staging)) fs.rmSync(staging, { recursive: true, force: true });
    throw error;
  }
  if (there) fs.rmSync(staging, { recursive: true, force: true });
}

/** Within the staging folder, the place of what is replaced. */
const OLD = 'replaced';

function replace(target: string, staging: string, { key, outdated = () => false }: FolderContent): void {
  // Of a checkpoint in several files the index is what nothing is read without.
  const rank = (name: string): number => (name === key ? 0 : name.endsWith('.index.json') ? 1 : 2);
  const byRank = (names: string[]): string[] => names.sort((a, b) => rank(a) - rank(b));
  const names = byRank(fs.readdirSync(staging));
  const before = byRank(fs.readdirSync(target).filter((name) => names.includes(name) || outdated(name)));
  const odd = before.find((name) => !fs.statSync(path.join(target, name)).isFile());
  if (odd !== undefined) throw new Error(`${odd} in it is no file`);
  const old = path.join(staging, OLD);
  fs.mkdirSync(old);
  const undo: (() => void)[] = [];
  const move = (from: string, to: string): void => {
    fs.renameSync(from, to);
    undo.push(() => fs.renameSync(to, from));
  };
  try {
    for (const name of before) move(path.join(target, name), path.join(old, name));
    sync(target);
    for (const name of names.reverse()) {
      if (name === key) sync(target);
      move(path.join(staging, name), path.join(target, name));
    }
  } catch (error) {
    for (const back of undo.reverse()) back();
    fs.rmdirSync(old);
    throw error;
  }
}

function sync(folder: string): void {
  const descriptor = fs.openSync(folder, 'r');
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

function attempt<T>(directory: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw new FileError(directory, `cannot be written: ${reasonOf(error)}`, { cause: error });
  }
}
