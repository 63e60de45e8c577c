import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { FileError } from '../../native/errors.ts';
import { reasonOf } from '../../native/files.ts';
import { isAlive } from '../../native/processes.ts';

/**
 * A file that goes with its process, however that ends. On Linux it loses its name at once, and is read by way of its descriptor; elsewhere the
 * name stays until it is closed, and the next process that makes one here removes those of processes that are no more.
 */
export class TemporaryFile {
  /** The name that it was made under, for errors. */
  readonly name: string;
  readonly #descriptor: number;
  /** The name by which it can be opened while this is open. */
  readonly path: string;

  /** @throws FileError where it cannot be made */
  constructor(directory: string) {
    const name = path.join(directory, `${PREFIX}${process.pid}-${randomBytes(6).toString('hex')}.tmp`);
    this.name = name;
    this.#descriptor = attempt(name, () => fs.openSync(name, 'wx', 0o600));
    sweep(directory);
    const unnamed = `/proc/self/fd/${this.#descriptor}`;
    if (process.platform === 'linux' && fs.existsSync(unnamed)) {
      fs.rmSync(name);
      this.path = unnamed;
    } else this.path = name;
  }

  /** @throws FileError where the disk is full, for one */
  append(bytes: Uint8Array): void {
    attempt(this.name, () => {
      for (let done = 0; done < bytes.length; ) done += fs.writeSync(this.#descriptor, bytes, done);
    });
  }

  close(): void {
    fs.closeSync(this.#descriptor);
    fs.rmSync(this.name, { force: true });
  }
}

const PREFIX = 'blip2-retrieval-';

/** Removes what killed processes have left. */
function sweep(directory: string): void {
  for (const name of fs.readdirSync(directory)) {
    const pid = /^(\d+)-[0-9a-f]+\.tmp$/.exec(name.startsWith(PREFIX) ? name.slice(PREFIX.length) : '')?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    try {
      fs.rmSync(path.join(directory, name), { force: true });
    } catch {
      // Another user's: theirs to remove.
    }
  }
}

function attempt<T>(file: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw new FileError(file, `cannot be written: ${reasonOf(error)}`, { cause: error });
  }
}
