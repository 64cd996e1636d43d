// Models from the Hugging Face hub, by id, through the cache that Python uses too.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HubError } from '../errors.js';
import { downloadFile, type ExpectedFile, request, requestJson } from './download.js';
import { hubCacheDir, hubHome, isCommit, RepoCache } from './hub_cache.js';
import { fileExists } from './node_files.js';

/** How to reach the hub. Each falls back to the environment variable that Python's client reads. */
export interface HubOptions {
  /** A branch, tag or commit. Default 'main'. */
  revision?: string | undefined;
  /** Default HF_TOKEN, else the token that `huggingface-cli login` saved. */
  token?: string | undefined;
  /** Default HF_ENDPOINT, else https://huggingface.co. */
  endpoint?: string | undefined;
  /** Default HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub. */
  cacheDir?: string | undefined;
  /** Use what is in the cache, and nothing else. Default HF_HUB_OFFLINE. */
  offline?: boolean | undefined;
  /** Called as bytes arrive. */
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Called with what a user should know, such as a default that was taken. */
  onNotice?: ((notice: string) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds before a failed request is tried again; doubled each time. Default 1000. */
  retryDelay?: number | undefined;
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
  const client = await hubClient(repo, options);
  let listing: Listing;
  try {
    listing = await client.list(revision, cached !== undefined ? 1 : undefined);
  } catch (error) {
    // The server was not reached, or is broken: what is here will do.
    if (!cached || !(error instanceof HubError) || (error.status ?? 500) < 500) throw error;
    options.onNotice?.(`${error.message}; using the copy of ${repo} in the cache`);
    return cached;
  }
  const names = choose(listing.files, `${repo} (${revision})`);
  await fetchMissing(cache, client, listing.commit, names, options);
  await cache.rememberRef(revision, listing.commit);
  return cache.snapshot(listing.commit);
}

/** Whether a name can be a hub id: owner/name. */
export function isRepoId(name: string): boolean {
  return /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(name) && !/--|\.\./.test(name);
}

function isOffline({ offline }: HubOptions): boolean {
  return offline ?? /^(1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? '');
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

interface Listing {
  commit: string;
  files: string[];
}

interface HubClient {
  headers: Record<string, string>;
  signal: AbortSignal | undefined;
  retryDelay: number | undefined;
  list(revision: string, maxTries?: number): Promise<Listing>;
  head(commit: string, name: string): Promise<ExpectedFile>;
}

async function hubClient(repo: string, options: HubOptions): Promise<HubClient> {
  const given = options.endpoint ?? (process.env.HF_ENDPOINT || 'https://huggingface.co');
  const endpoint = given.replace(/\/+$/, '');
  const token = options.token ?? (await savedToken());
  const headers: Record<string, string> = {
    // Sizes and ranges are those of the file itself.
    'accept-encoding': 'identity',
    'user-agent': 'rene-js',
    ...(token && { authorization: `Bearer ${token}` }),
  };
  const shared = { headers, signal: options.signal, retryDelay: options.retryDelay };
  return {
    ...shared,
    async list(revision, maxTries) {
      const url = `${endpoint}/api/models/${repo}/revision/${encodeURIComponent(revision)}`;
      return readListing(await requestJson(url, { ...shared, maxTries }), url);
    },
    async head(commit, name) {
      return headOf(`${endpoint}/${repo}/resolve/${commit}/${encodeURIComponent(name)}`, shared);
    },
  };
}

async function savedToken(): Promise<string> {
  if (process.env.HF_TOKEN) return process.env.HF_TOKEN;
  const path = process.env.HF_TOKEN_PATH || join(hubHome(), 'token');
  return (await readFile(path, 'utf8').catch(() => '')).trim();
}

function readListing(json: unknown, url: string): Listing {
  if (typeof json === 'object' && json !== null && 'sha' in json && 'siblings' in json) {
    const { sha, siblings } = json;
    if (typeof sha === 'string' && isCommit(sha) && Array.isArray(siblings)) {
      const names: unknown[] = siblings.map(
        (file: { rfilename?: unknown } | null) => file?.rfilename,
      );
      return { commit: sha, files: names.filter((name) => typeof name === 'string') };
    }
  }
  throw new HubError(`${url}: the answer is not that of a Hugging Face hub`);
}

/** Asks for a file's size and checksum, which the hub gives in headers before it redirects. */
async function headOf(
  url: string,
  options: { headers: Record<string, string>; signal: AbortSignal | undefined },
): Promise<ExpectedFile> {
  let current = url;
  for (let hops = 0; hops < 5; hops++) {
    const { headers, status } = await request(current, 'HEAD', options);
    const location = headers.get('location');
    const linked = headers.get('x-linked-etag');
    // A renamed repository redirects within the hub; a large file to a storage server.
    if (status >= 300 && location && !linked && location.startsWith('/')) {
      current = new URL(location, current).href;
      continue;
    }
    const etag = (linked ?? headers.get('etag') ?? '').replace(/^W\//, '').replaceAll('"', '');
    if (!/^[\w-]{1,128}$/.test(etag)) throw new HubError(`${url}: the hub gave no usable ETag`);
    const size = Number(
      headers.get('x-linked-size') ?? headers.get('content-length') ?? Number.NaN,
    );
    return { url: current, etag, size: Number.isSafeInteger(size) ? size : undefined };
  }
  throw new HubError(`${url}: redirected too often`);
}
