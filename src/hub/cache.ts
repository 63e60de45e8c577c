import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { makeFolder, readBytes, writeFileAtomically } from '../native/files.ts';

/** A commit as git names it. */
export const COMMIT = /^[0-9a-f]{40}$/;

/** An index of shards, or a configuration, has at most so many bytes. */
const MAX_JSON = 2 ** 25;

/**
 * A repository in the cache that Python's `huggingface_hub` lays out, and shares: `blobs/` by digest, `snapshots/<commit>/` with links to them,
 * `refs/<revision>` with the commit of a branch or tag.
 */
export class CachedRepository {
  /** The repository's folder in the cache. */
  readonly folder: string;

  constructor(cache: string, id: string) {
    this.folder = path.join(cache, `models--${id.replace('/', '--')}`);
  }

  /** What is locked while files come. */
  get lockFile(): string {
    return path.join(path.dirname(this.folder), '.locks', path.basename(this.folder), 'blip2.lock');
  }

  /** The commit that a revision was when it was last looked up; undefined where it never was. */
  commitOf(revision: string): string | undefined {
    if (COMMIT.test(revision)) return revision;
    try {
      const commit = readBytes(path.join(this.folder, 'refs', revision), 100)
        .toString('utf8')
        .trim();
      return COMMIT.test(commit) ? commit : undefined;
    } catch {
      return undefined;
    }
  }

  /** Remembers the commit of a revision. */
  setCommit(revision: string, commit: string): void {
    if (revision === commit) return;
    const file = path.join(this.folder, 'refs', revision);
    makeFolder(path.dirname(file));
    writeFileAtomically(file, commit);
  }

  /** The folder that a commit's files are in. */
  snapshot(commit: string): string {
    return path.join(this.folder, 'snapshots', commit);
  }

  /** The files of a commit that are there; a link to a blob that is gone is none. */
  names(commit: string): Set<string> {
    const folder = this.snapshot(commit);
    const names = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
    return new Set(names.filter((name) => fs.statSync(path.join(folder, name), { throwIfNoEntry: false })?.isFile() ?? false));
  }

  /** A small file of a commit. */
  read(commit: string, name: string): Uint8Array {
    return readBytes(path.join(this.snapshot(commit), name), MAX_JSON);
  }

  /** Where the content with a digest is, or would be. */
  blob(digest: string): string {
    return path.join(this.folder, 'blobs', digest);
  }

  /** Whether that content is there; of another size, it is something else. */
  hasBlob(digest: string, size: number): boolean {
    const stat = fs.statSync(this.blob(digest), { throwIfNoEntry: false });
    return stat?.isFile() === true && stat.size === size;
  }

  /** Gives a content its name in a commit's snapshot. */
  link(commit: string, name: string, digest: string): void {
    const file = path.join(this.snapshot(commit), name);
    makeFolder(path.dirname(file));
    const link = `${file}.${randomBytes(4).toString('hex')}`;
    fs.symlinkSync(path.relative(path.dirname(file), this.blob(digest)), link);
    fs.renameSync(link, file);
  }
}
