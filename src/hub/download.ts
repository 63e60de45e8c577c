import path from 'node:path';
import { aFunction, anObject, aPath, aString, checkArgument, optional } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { shown } from '../native/fields.ts';
import { withLock } from '../native/lock.ts';
import { CachedRepository } from './cache.ts';
import { HubRepository, type Listing } from './client.ts';
import { type HubEnvironment, hubEnvironment } from './environment.ts';
import { HubError } from './errors.ts';
import { CONFIG, isWhole, moreWeights, smallFiles, weightsFile } from './files.ts';
import { isHubId } from './place.ts';
import { transfer } from './transfer.ts';

/** How far a download is. */
export interface DownloadProgress {
  /** Bytes of the files that were not in the cache: those that are there now. */
  readonly done: number;
  /** And all of them. */
  readonly total: number;
  /** The cache that they go into. */
  readonly cache: string;
}

/** Options of {@link download}. */
export interface DownloadOptions {
  /** A branch, tag or commit; `'main'` unless told. */
  revision?: string | undefined;
  /** False: configurations and tokenizer alone. True unless told. */
  weights?: boolean | undefined;
  /** Asks the Hub whether the revision has changed, which is not done where the cache has it. False unless told. */
  update?: boolean | undefined;
  /** The cache's folder; `HF_HUB_CACHE`, or `hub` in `HF_HOME`, unless told. */
  cache?: string | undefined;
  /** Stops the download; what has come stays, and the next one goes on from there. */
  signal?: AbortSignal | undefined;
  /** Told before the first byte comes and then as they come; never where the cache has all. */
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

/**
 * The folder of a model of Hugging Face's Hub, downloaded unless the cache has it: configurations, the tokenizer's files and the weights (safetensors;
 * `.bin` where there are no others). The cache is the one of Python's `huggingface_hub`, whose downloads are found, and whose variables count:
 * `HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`. What the cache has whole is taken without a request. Every file is
 * checked by the digest that the Hub lists, and appears whole or not at all.
 *
 * @param id `owner/name`, such as `'Salesforce/blip2-opt-2.7b'`
 * @returns the snapshot's folder, for every `fromPretrained` and `loadLanguageModel`; its files are links into the cache, not to be written to
 * @throws HubError where it cannot be had; FileError where the cache cannot be written; the signal's reason; ArgumentError
 * @example const model = Blip2ForConditionalGeneration.fromPretrained(await download('Salesforce/blip2-opt-2.7b'));
 */
export async function download(id: string, options: DownloadOptions = {}): Promise<string> {
  checkOptions(id, options);
  const { revision = 'main', weights = true, update = false, signal } = options;
  signal?.throwIfAborted();
  const hub = hubEnvironment();
  const place: Place = { id, hub, cache: path.resolve(options.cache ?? hub.cache) };
  const cached = new CachedRepository(place.cache, id);
  const found = foundIn(cached, revision, weights);
  if (found !== undefined && (!update || hub.offline)) return found;
  if (hub.offline)
    throw new HubError('ERR_HUB_OFFLINE', id, `HF_HUB_OFFLINE is set, and the cache has not all of it. ${byHand(place)}`);
  try {
    return await withLock(
      cached.lockFile,
      () => undefined,
      () => fill(place, cached, options),
      signal,
    );
  } catch (error) {
    if (!(error instanceof HubError) || error.code !== 'ERR_HUB_OFFLINE') throw error;
    if (found !== undefined) return found;
    throw new HubError('ERR_HUB_OFFLINE', id, `${error.message.slice(id.length + 2)}. ${byHand(place)}`, { cause: error });
  }
}

interface Place {
  readonly id: string;
  readonly hub: HubEnvironment;
  readonly cache: string;
}

function checkOptions(id: string, options: DownloadOptions): void {
  checkArgument('id', id, aString);
  checkArgument('options', options, anObject);
  const { revision, weights, update, cache, signal, onProgress } = options;
  if (!isHubId(id)) throw new ArgumentError('id', 'a repository of the Hub, owner/name,', shown(id));
  checkArgument('revision', revision, optional(aString));
  if (revision !== undefined && !/^(?!.*\.\.)\w[\w.-]*(?:\/\w[\w.-]*)*$/.test(revision)) {
    throw new ArgumentError('revision', 'a branch, tag or commit', shown(revision));
  }
  checkArgument('cache', cache, optional(aPath));
  checkArgument('onProgress', onProgress, optional(aFunction));
  for (const [name, value] of Object.entries({ weights, update })) {
    if (value !== undefined && typeof value !== 'boolean') throw new ArgumentError(name, 'true or false', shown(value));
  }
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new ArgumentError('signal', 'an AbortSignal', shown(signal));
}

/** The snapshot of a revision, if the cache has all that is wanted of it. */
function foundIn(cached: CachedRepository, revision: string, weights: boolean): string | undefined {
  const commit = cached.commitOf(revision);
  if (commit === undefined) return undefined;
  return isWhole(cached.names(commit), (name) => cached.read(commit, name), weights) ? cached.snapshot(commit) : undefined;
}

/** Brings what is not there, the configuration last: a snapshot with one is whole. */
async function fill(place: Place, cached: CachedRepository, options: DownloadOptions): Promise<string> {
  const { revision = 'main', weights = true, update = false, signal, onProgress = () => undefined } = options;
  // Another process may have done the work while this one waited.
  const since = update ? undefined : foundIn(cached, revision, weights);
  if (since !== undefined) return since;
  const remote = new HubRepository(place.id, place.hub, signal);
  const listing = await remote.list(revision);
  const names = new Set(listing.files.keys());
  const file = weightsFile(names);
  if (!names.has(CONFIG)) throw new HubError('ERR_HUB_ABSENT', place.id, `has no ${CONFIG}, and so no model that can be loaded`);
  if (weights && file === undefined) throw new HubError('ERR_HUB_ABSENT', place.id, 'has no weights, in safetensors or .bin');
  const bring = async (wanted: readonly string[], tell: typeof onProgress): Promise<void> => {
    await bringFiles({ ...place, cached, remote, listing, signal }, wanted, tell);
  };
  const first = weights && file?.endsWith('.index.json') ? [file] : [];
  await bring(first, () => undefined);
  const read = (name: string): Uint8Array => cached.read(listing.commit, name);
  const large = weights && file !== undefined ? [file, ...moreWeights(names, file, read)] : [];
  await bring([...smallFiles(names), ...large, CONFIG], onProgress);
  cached.setCommit(revision, listing.commit);
  return cached.snapshot(listing.commit);
}

interface Bringing extends Place {
  readonly cached: CachedRepository;
  readonly remote: HubRepository;
  readonly listing: Listing;
  readonly signal: AbortSignal | undefined;
}

async function bringFiles(
  { id, cache, cached, remote, listing: { commit, files }, signal }: Bringing,
  wanted: readonly string[],
  tell: (progress: DownloadProgress) => void,
): Promise<void> {
  const has = cached.names(commit);
  const absent = wanted
    .filter((name) => !has.has(name))
    .map((name) => ({ name, file: files.get(name) as NonNullable<ReturnType<typeof files.get>> }));
  const missing = absent.filter(({ file }) => !cached.hasBlob(file.digest, file.size));
  const total = missing.reduce((sum, { file }) => sum + file.size, 0);
  let before = 0;
  if (missing.length > 0) tell({ done: 0, total, cache });
  for (const { name, file } of absent) {
    if (missing.some((one) => one.name === name)) {
      const open = (from: number, plain: boolean) => remote.open(commit, name, from, file.size, plain);
      const onBytes = (there: number): void => tell({ done: before + there, total, cache });
      await transfer({ id, name, file, target: cached.blob(file.digest), signal, open, onBytes });
      before += file.size;
    }
    cached.link(commit, name, file.digest);
  }
}

function byHand({ id, cache }: Place): string {
  const repository = `models--${id.replace('/', '--')}`;
  return (
    `Without a network, give a folder with the model's files instead (${CONFIG}, those of the tokenizer, *.safetensors), or copy ${repository} from ` +
    `the cache of a machine that has it (there ~/.cache/huggingface/hub) into ${cache}`
  );
}
