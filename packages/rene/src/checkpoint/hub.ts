// Models from the Hugging Face hub, by id, through the cache that Python uses too.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HubError } from '../errors.js';
import { downloadFile, type ExpectedFile } from './download.js';
import { hubCacheDir, RepoCache } from './hub_cache.js';
import {
  type HubClient,
  type HubClientOptions,
  hubClient,
  isOffline,
  type Listing,
} from './hub_client.js';
import { fileExists } from './node_files.js';

/** How to get a model. */
export interface HubOptions extends HubClientOptions {
  /** A branch, tag or commit. Default 'main'. */
  revision?: string | undefined;
  /** Called as bytes arrive. */
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Called with what a user should know, such as a default that was taken. */
  onNotice?: ((notice: string) => void) | undefined;
}

export interface DownloadProgress {
  /** The file that is being downloaded. */
  readonly file: string;
  /** Bytes on the disk of all files of this download, resumed ones included. */
  readonly bytes: number;
  /** Bytes of all files of this download. */
  readonly totalBytes: number;
}

/** Chooses, from the names in a repository, those that are wanted. Throws when some are missing. */
export type FileChoice = (names: readonly string[], where: string) => string[];

/**
 * Brings files of a model repository into the cache and returns the folder that holds them. Files
 * that are there already are not fetched again; without a network what the cache has is used.
 *
 * @throws HubError when they cannot be had; nothing damaged ever gets a file's name.
 */
export async function downloadFromHub(
  repo: string,
  choose: FileChoice,
  options: HubOptions = {},
): Promise<string> {
  if (!isRepoId(repo)) {
    throw new HubError(`'${repo}' is no id of a model: expected owner/name`);
  }
  const revision = options.revision ?? 'main';
  const cache = new RepoCache(options.cacheDir ?? hubCacheDir(), repo);
  const cached = await cachedSnapshot(cache, revision, choose);
  if (isOffline(options)) {
    if (cached) return cached;
    throw new HubError(
      `${repo} (${revision}) is not whole in the cache (${cache.dir}), and the hub is switched off ` +
        '(HF_HUB_OFFLINE); download it once while online',
    );
  }
  const client = await hubClient('models', repo, options);
  let listing: Listing;
  try {
    listing = await client.list(revision, cached !== undefined ? 1 : undefined);
  } catch (error) {
    // The server was not reached, is busy or broken: what is here will do.
    if (!cached || !(error instanceof HubError) || isRefusal(error)) throw error;
    options.onNotice?.(`${error.message}; using the copy of ${repo} in the cache`);
    return cached;
  }
  const names = choose(listing.files, `${repo} (${revision})`);
  try {
    await fetchMissing(cache, client, listing.commit, names, options);
    await cache.rememberRef(revision, listing.commit);
  } catch (error) {
    // The disk is full, the folder is another user's, …
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    throw new HubError(`the cache ${cache.dir} cannot be written: ${error.message}`, {
      cause: error,
    });
  }
  return cache.snapshot(listing.commit);
}

/** Whether the hub answered, and would answer the same again: there is none, or not for you. */
function isRefusal({ status = 500 }: HubError): boolean {
  return status < 500 && status !== 429;
}

/** Whether a name can be a hub id: owner/name. */
export function isRepoId(name: string): boolean {
  return /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(name) && !/--|\.\./.test(name);
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
  try {
    const chosen = choose(names, cache.dir);
    const missing = await missingShards(cache.snapshot(commit), chosen);
    return missing.length === 0 ? cache.snapshot(commit) : undefined;
  } catch (error) {
    if (error instanceof HubError) return undefined;
    throw error;
  }
}

/** Shards that an index among the files names and the folder lacks. */
async function missingShards(dir: string, files: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const index of files.filter((name) => name.endsWith('.index.json'))) {
    const text = await readFile(join(dir, index), 'utf8');
    const shards = new Set(text.match(/"[\w.-]+\.(?:safetensors|bin)"/g));
    for (const quoted of shards) {
      const shard = quoted.slice(1, -1);
      if (!(await fileExists(join(dir, shard)))) missing.push(shard);
    }
  }
  return missing;
}

async function fetchMissing(
  cache: RepoCache,
  client: HubClient,
  commit: string,
  names: readonly string[],
  options: HubOptions,
): Promise<void> {
  const here = new Set(await cache.cachedFiles(commit));
  const wanted: (ExpectedFile & { name: string })[] = [];
  for (const name of names) {
    if (!here.has(name)) wanted.push({ name, ...(await client.head(commit, name)) });
  }
  const totalBytes = wanted.reduce((sum, { size }) => sum + (size ?? 0), 0);
  let done = 0;
  for (const { name, ...file } of wanted) {
    const report = (bytes: number) =>
      options.onProgress?.({ file: name, bytes: done + bytes, totalBytes });
    const blob = cache.blob(file.etag);
    if (await fileExists(blob)) report(file.size ?? 0);
    else await downloadFile(file, blob, client, report);
    await cache.link(commit, name, file.etag);
    done += file.size ?? 0;
  }
}
