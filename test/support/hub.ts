import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

/** A repository of a {@link FakeHub}. */
export interface Repository {
  commit: string;
  readonly files: Map<string, Buffer>;
  /** The token without which nothing is given. */
  token?: string;
}

type Answer = (request: IncomingMessage, response: ServerResponse, content: Buffer) => void;

/** A server that answers as the Hub does, over what it is given. */
export class FakeHub {
  readonly repositories = new Map<string, Repository>();
  /** Every request: the path, and the range that it asked for. */
  readonly requests: string[] = [];
  /** What is done instead of sending a file's body, by its name; once for each that is in the list. */
  readonly instead = new Map<string, Answer[]>();
  /** Entries of listings besides the files. */
  readonly odd: object[] = [];
  readonly #server = createServer((request, response) => this.#answer(request, response));

  /** Begins to listen. */
  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this.url;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** Makes a repository of a folder's files, or of given ones. */
  add(
    id: string,
    files: string | Record<string, string | Buffer>,
    commit = createHash('sha1').update(id).digest('hex'),
  ): Repository {
    const names = typeof files === 'string' ? fs.readdirSync(files) : Object.keys(files);
    const content = (name: string): Buffer =>
      typeof files === 'string' ? fs.readFileSync(path.join(files, name)) : Buffer.from(files[name] as string);
    const repository: Repository = { commit, files: new Map(names.map((name) => [name, content(name)])) };
    this.repositories.set(id, repository);
    return repository;
  }

  /** The bodies that were asked for, by their names. */
  get bodies(): string[] {
    return this.requests
      .filter((line) => line.includes('/resolve/') && !line.endsWith(' bytes=0-0'))
      .map((line) => line.replace(/^.*\/resolve\/\w+\//, ''));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(request.url ?? '', this.url);
    const { range, authorization } = request.headers;
    this.requests.push(range === undefined ? pathname : `${pathname} ${range}`);
    const [, listed, what, rest] = /^\/api\/models\/([^/]+\/[^/]+)\/(revision|tree)\/(.+)$/.exec(pathname) ?? [];
    const [, owned, revision = rest, name = ''] = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(pathname) ?? [];
    const repository = this.repositories.get(listed ?? owned ?? '');
    const content = repository?.files.get(name);
    if (repository === undefined) answerJson(response, { error: 'Invalid username or password.' }, 401);
    else if (repository.token !== undefined && authorization !== `Bearer ${repository.token}`) {
      answerJson(response, { error: 'Access to this model is restricted.' }, authorization === undefined ? 401 : 403);
    } else if (![repository.commit, 'main'].includes(decodeURIComponent(revision ?? ''))) {
      answerJson(response, { error: 'Revision not found' }, 404);
    } else if (what === 'revision') {
      answerJson(response, { _id: '1', id: listed, sha: repository.commit, lastModified: '2026-01-01T00:00:00.000Z' });
    } else if (what === 'tree') this.#list(request, response, repository);
    else if (content === undefined) answerJson(response, { error: 'Entry not found' }, 404);
    else this.#send(request, response, name, content);
  }

  /** In pages of three, as the Hub does in pages of a thousand. */
  #list(request: IncomingMessage, response: ServerResponse, { files }: Repository): void {
    const url = new URL(request.url ?? '', this.url);
    const from = Number(url.searchParams.get('cursor') ?? 0);
    const entries = [
      ...[...files].map(([name, content]) => entry(name, content)),
      { type: 'directory', path: 'onnx', size: 0, oid: '' },
      ...this.odd,
    ];
    url.searchParams.set('cursor', String(from + 3));
    const more = from + 3 < entries.length ? { link: `<${url.href}>; rel="next"` } : {};
    response.writeHead(200, { 'content-type': 'application/json', ...more }).end(JSON.stringify(entries.slice(from, from + 3)));
  }

  #send(request: IncomingMessage, response: ServerResponse, name: string, content: Buffer): void {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    if (first === '0' && last === '0') {
      const head = { 'content-range': `bytes 0-0/${content.length}`, etag: '"x"' };
      response.writeHead(206, head).end(content.subarray(0, 1));
      return;
    }
    const other = this.instead.get(name)?.shift();
    if (other !== undefined) {
      other(request, response, content);
      return;
    }
    const from = Number(first ?? 0);
    const to = last ? Number(last) + 1 : content.length;
    const head = first === undefined ? {} : { 'content-range': `bytes ${from}-${to - 1}/${content.length}` };
    response.writeHead(first === undefined ? 200 : 206, { ...head, 'content-length': to - from }).end(content.subarray(from, to));
  }
}

function answerJson(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

/** Sends so many bytes of a body that is said to be whole, and breaks off. */
export function cutAfter(bytes: number): Answer {
  return (request, response, content) => {
    const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    response.writeHead(from === 0 ? 200 : 206, { 'content-length': content.length - from });
    response.write(content.subarray(from, from + bytes), () => setTimeout(() => response.destroy(), 20));
  };
}

/** A small file goes by git's digest, a large one, as weights are, by its SHA-256. */
function entry(name: string, content: Buffer): object {
  const oid = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
  const own = { type: 'file', path: name, size: content.length, oid };
  if (!/\.(?:safetensors|bin)$/.test(name)) return own;
  return { ...own, lfs: { oid: createHash('sha256').update(content).digest('hex'), size: content.length, pointerSize: 134 } };
}
