import type { ListFileEntry } from '@huggingface/hub';
import { COMMIT } from './cache.ts';
import type { HubEnvironment } from './environment.ts';
import { HubError } from './errors.ts';

/** A file as the Hub lists it. */
export interface RemoteFile {
  /** In bytes. */
  readonly size: number;
  /** What the cache calls its content: the SHA-256 of a large file, git's SHA-1 of a small one. */
  readonly digest: string;
}

/** A commit and its files by their names, without those in folders. */
export interface Listing {
  readonly commit: string;
  readonly files: ReadonlyMap<string, RemoteFile>;
}

/** No repository of a model has so many files. */
const MOST_FILES = 20_000;

/** One repository of the Hub, by Hugging Face's own client. */
export class HubRepository {
  readonly #id: string;
  readonly #hub: HubEnvironment;
  readonly #signal: AbortSignal | undefined;

  constructor(id: string, hub: HubEnvironment, signal: AbortSignal | undefined) {
    this.#id = id;
    this.#hub = hub;
    this.#signal = signal;
    if (hub.token !== undefined && !hub.token.startsWith('hf_')) {
      throw new HubError(
        'ERR_HUB_ACCESS',
        id,
        'the token of HF_TOKEN, or of the file that a login has left, does not begin with hf_',
      );
    }
  }

  /** The commit of a revision, and its files. */
  list(revision: string): Promise<Listing> {
    return this.#asked(`its revision ${JSON.stringify(revision)}`, async () => {
      const { listFiles, modelInfo } = await import('@huggingface/hub');
      const options = this.#options();
      const { sha: commit } = await modelInfo({ ...options, name: this.#id, revision, additionalFields: ['sha'] });
      if (typeof commit !== 'string' || !COMMIT.test(commit)) throw new SyntaxError('no commit for the revision');
      const files = new Map<string, RemoteFile>();
      for await (const entry of listFiles({ ...options, repo: this.#id, revision: commit })) {
        if (entry.type !== 'file') continue;
        if (files.size === MOST_FILES) throw new SyntaxError(`more than ${MOST_FILES} files`);
        files.set(entry.path, remoteFile(entry));
      }
      return { commit, files };
    });
  }

  /** A file's bytes from an offset on; `plain` forgoes Xet, the Hub's protocol of chunks. */
  open(commit: string, name: string, from: number, size: number, plain: boolean): Promise<ReadableStream<Uint8Array>> {
    return this.#asked(name, async () => {
      const { downloadFile, fileDownloadInfo } = await import('@huggingface/hub');
      const options = { ...this.#options(), repo: this.#id, path: name, revision: commit };
      const info = await fileDownloadInfo(options);
      if (info === null) throw new HubError('ERR_HUB_ABSENT', this.#id, `has no ${name}`, { status: 404 });
      if (info.size !== size) throw new SyntaxError(`${info.size} bytes for ${name}, which is listed with ${size}`);
      const chunked = info.xet !== undefined && !plain && !this.#hub.plain;
      // Of Xet's requests the client chooses the protocol itself, unless it is given a `fetch`.
      const { fetch: _, ...own } = options;
      const blob = await downloadFile({ ...(chunked ? own : options), downloadInfo: info, xet: chunked });
      if (blob === null) throw new HubError('ERR_HUB_ABSENT', this.#id, `has no ${name}`, { status: 404 });
      return (from === 0 ? blob : blob.slice(from, size)).stream();
    });
  }

  #options() {
    const { endpoint, token } = this.#hub;
    const signal = this.#signal;
    const abortable: typeof fetch = (input, init) => fetch(input, signal === undefined ? init : { ...init, signal });
    return { hubUrl: endpoint, fetch: abortable, ...(token === undefined ? {} : { accessToken: token }) };
  }

  /** Runs requests, and makes their errors ours. */
  async #asked<T>(what: string, requests: () => Promise<T>): Promise<T> {
    try {
      return await requests();
    } catch (error) {
      this.#signal?.throwIfAborted();
      throw error instanceof HubError ? error : this.#explained(error, what);
    }
  }

  #explained(error: unknown, what: string): HubError {
    const id = this.#id;
    const { endpoint, token } = this.#hub;
    const status = (error as { statusCode?: unknown }).statusCode;
    if (status === 401 || status === 403) {
      const asked = token === undefined ? 'without a token' : 'with this token';
      const remedy =
        'its name may be wrong; if it is private or gated, ask for access on its page and set HF_TOKEN (or run `hf auth login`)';
      return new HubError('ERR_HUB_ACCESS', id, `${endpoint} gives nothing of this name ${asked} (${status}): ${remedy}`, {
        status,
        cause: error,
      });
    }
    if (status === 404) {
      return new HubError('ERR_HUB_ABSENT', id, `${endpoint} has no such repository, or not ${what} (404)`, {
        status,
        cause: error,
      });
    }
    if (typeof status === 'number') {
      return new HubError('ERR_HUB', id, `${endpoint} answered ${status} for ${what}`, { status, cause: error });
    }
    // What `fetch` throws where there is no answer; it may come from another realm.
    const { name, message, cause } = error as Error;
    if (name === 'TypeError' && cause !== undefined) {
      const { message: words, code } = cause as NodeJS.ErrnoException;
      return new HubError('ERR_HUB_OFFLINE', id, `${endpoint} cannot be reached (${words || code || message})`, { cause: error });
    }
    const problem = message ?? String(error);
    return new HubError('ERR_HUB', id, `${endpoint} answered what was not expected of ${what}: ${problem}`, { cause: error });
  }
}

function remoteFile({ path: name, size, oid, lfs }: ListFileEntry): RemoteFile {
  const digest = lfs?.oid ?? oid;
  const bytes = lfs?.size ?? size;
  const isDigest = typeof digest === 'string' && (lfs === undefined ? COMMIT : /^[0-9a-f]{64}$/).test(digest);
  if (typeof name !== 'string' || !isDigest || !Number.isSafeInteger(bytes) || bytes < 0) {
    throw new SyntaxError(`no size and digest for ${JSON.stringify(name)}`);
  }
  return { size: bytes, digest };
}
