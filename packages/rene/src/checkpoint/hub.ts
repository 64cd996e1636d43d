// Downloads models from the Hugging Face hub by id, into the cache shared with Python.
import { join } from 'node:path';
import { CheckpointError, FileError, HubError } from '../errors.js';
import { systemCode } from '../system_errors.js';
import type { RemoteFile } from './download.js';
import { hubCacheDir, RepoCache } from './hub_cache.js';
import {
  type HubClient,
  type HubClientOptions,
  hubClient,
  isOffline,
  type Listing,
} from './hub_client.js';
import { fetchFile } from './hub_files.js';
import { isRepoId } from './model_names.js';
import { fileExists, readJsonFile } from './node_files.js';
import { shardNames } from './shard_index.js';

/** How to get a model. */
export interface HubOptions extends HubClientOptions {
  /** A branch, tag or commit. Default: 'main'. */
  revision?: string | undefined;
  /**
   * In a page: keep the files in the browser's storage, and read them from there the next time. Default: true. Elsewhere:
   * without effect.
   */
  cache?: boolean | undefined;
  /** Called as bytes arrive. */
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

export interface DownloadProgress {
  /** The current file. */
  readonly file: string;
  /** Bytes on disk of all files of this download, including resumed ones. */
  readonly bytes: number;
  /** Total bytes of this download; 0 if the server does not tell. */
  readonly totalBytes: number;
}

/** The hub cannot be reached, and the cache has no copy. */
export class NoCopyError extends HubError {}

/** Selects the wanted files of a repository. Throws if some are missing. */
export type FileChoice = (names: readonly string[], where: string) => string[];

/**
 * Downloads files of a model repository into the cache and returns their folder. Files in the cache are not
 * downloaded again; without a network the cache is used.
 *
 * @throws HubError if they are not available. Damaged content is never renamed to a file's name.
 */
export async function downloadFromHub(
  repo: string,
  choose: FileChoice,
  options: HubOptions = {},
): Promise<string> {
  if (!isRepoId(repo)) {
    throw new HubError(`Invalid model id '${repo}': expected owner/name`);
  }
  const revision = options.revision ?? 'main';
  const cache = new RepoCache(options.cacheDir ?? hubCacheDir(), repo);
  const cached = await cachedSnapshot(cache, revision, choose);
  if (isOffline(options)) {
    if (cached) return cached;
    throw new NoCopyError(
      `${repo} (${revision}) is not complete in the cache (${cache.dir}), and offline mode is on ` +
        '(HF_HUB_OFFLINE); download it once while online',
    );
  }
  const client = await hubClient('models', repo, options);
  let listing: Listing;
  try {
    listing = await client.list(revision, cached !== undefined ? 1 : undefined);
  } catch (error) {
    if (!(error instanceof HubError) || isRefusal(error)) throw error;
    if (!cached) throw withAdvice(error, repo, cache);
    // The server is unreachable, busy or broken: use the cache.
    options.onNotice?.(`${error.message}; using the copy of ${repo} in the cache`);
    return cached;
  }
  const names = choose(listing.files, `${repo} (${revision})`);
  try {
    await fetchMissing(cache, client, listing, names, options);
    await cache.rememberRef(revision, listing.commit);
  } catch (error) {
    // The disk is full, the folder is not writable, ...
    if (!isSystemError(error)) throw error;
    const message = `the cache ${cache.dir} cannot be written: ${error.message}`;
    const commit = (await isWhole(cache.snapshot(listing.commit), names)) && listing.commit;
    const usable = commit ? cache.snapshot(commit) : cached;
    if (!usable) throw new HubError(message, { cause: error });
    if (!commit) options.onNotice?.(`${message}; using the older copy of ${repo} in it`);
    return usable;
  }
  return cache.snapshot(listing.commit);
}

function isSystemError(error: unknown): error is Error {
  return error instanceof FileError || systemCode(error) !== undefined;
}

/** The hub was not reached, and the cache has no copy. */
function withAdvice(error: HubError, repo: string, cache: RepoCache): HubError {
  if (error.status !== undefined) return error;
  return new NoCopyError(
    `${repo}: ${error.message}, and the cache has no copy (${cache.dir}). Without a network, give a ` +
      `model folder, or copy that cache folder from a machine where 'rene download ${repo}' was run`,
    { cause: error },
  );
}

/** Whether the hub's answer is final: the model does not exist, or access is denied. */
function isRefusal({ status = 500 }: HubError): boolean {
  return status < 500 && status !== 429;
}

/** The cached snapshot of a revision, if it has all that is wanted. */
async function cachedSnapshot(
  cache: RepoCache,
  revision: string,
  choose: FileChoice,
): Promise<string | undefined> {
  const commit = await cache.commitOf(revision);
  if (commit === undefined) return undefined;
  const names = await cache.cachedFiles(commit);
  const dir = cache.snapshot(commit);
  try {
    return (await isWhole(dir, choose(names, cache.dir))) ? dir : undefined;
  } catch (error) {
    if (error instanceof HubError || error instanceof CheckpointError) return undefined;
    throw error;
  }
}

/** Whether a folder has these files, and the shards that their indices list. */
async function isWhole(dir: string, names: readonly string[]): Promise<boolean> {
  for (const name of [...names, ...(await shardsOf(dir, names))]) {
    if (!(await fileExists(join(dir, name)))) return false;
  }
  return true;
}

/** The files that the indices among these files list. @throws CheckpointError */
async function shardsOf(dir: string, names: readonly string[]): Promise<string[]> {
  const indices = names.filter((name) => name.endsWith('.index.json'));
  const shards = await Promise.all(
    indices.map(async (name) => {
      const path = join(dir, name);
      return (await fileExists(path)) ? shardNames(await readJsonFile(path), path) : [];
    }),
  );
  return shards.flat();
}

async function fetchMissing(
  cache: RepoCache,
  client: HubClient,
  { commit, files }: Listing,
  chosen: readonly string[],
  options: HubOptions,
): Promise<void> {
  const dir = cache.snapshot(commit);
  // An index lists its files.
  for (const name of chosen.filter((file) => file.endsWith('.index.json'))) {
    if (await fileExists(join(dir, name))) continue;
    await fetchFile(cache, client, commit, name, await client.head(commit, name));
  }
  const shards = await shardsOf(dir, chosen);
  const absent = shards.find((name) => !files.includes(name));
  if (absent !== undefined) {
    throw new HubError(`${client.repo}: its index names ${absent}, which the repository lacks`);
  }
  const wanted: (RemoteFile & { name: string })[] = [];
  for (const name of [...chosen, ...shards]) {
    if (await fileExists(join(dir, name))) continue;
    wanted.push({ name, ...(await client.head(commit, name)) });
  }
  const totalBytes = wanted.reduce((sum, { size }) => sum + (size ?? 0), 0);
  let done = 0;
  for (const { name, ...file } of wanted) {
    let last = 0;
    const report = (bytes: number) => {
      last = bytes;
      const all = Math.max(totalBytes, done + bytes);
      options.onProgress?.({ file: name, bytes: done + bytes, totalBytes: all });
    };
    await fetchFile(cache, client, commit, name, file, report);
    done += file.size ?? last;
  }
}
