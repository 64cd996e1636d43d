// Documents from data sets on the Hugging Face hub, kept in the cache that Python uses too.
import { mkdir, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import {
  downloadFile,
  type RequestOptions,
  request,
  requestJson,
} from '../../checkpoint/download.js';
import { hubCacheDir, hubHome, isCommit } from '../../checkpoint/hub_cache.js';
import { fileExists, writeFileAtomically } from '../../checkpoint/node_files.js';
import { HubError } from '../../errors.js';
import { EvaluationError } from '../errors.js';
import { type DatasetLocation, type Doc, evaluatedSplit, exampleSplit, isDoc } from '../task.js';
import type { DocSource } from './documents.js';
import { readParquet } from './parquet.js';

export interface HubDocsOptions {
  /** Default HF_TOKEN, else the token that `huggingface-cli login` saved. */
  token?: string | undefined;
  /** Default HF_ENDPOINT, else https://huggingface.co. */
  endpoint?: string | undefined;
  /** Default HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub. */
  cacheDir?: string | undefined;
  /** Use what is in the cache, and nothing else. Default HF_HUB_OFFLINE. */
  offline?: boolean | undefined;
  /** Called as bytes of a file arrive. */
  onProgress?: ((file: string, bytes: number, total: number) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds before a failed request is tried again; doubled each time. Default 1000. */
  retryDelay?: number | undefined;
}

/** The hub converts every data set to Parquet on this branch, as SUBSET/SPLIT/0000.parquet. */
const REVISION = 'refs/convert/parquet';

/**
 * The documents of any task from the hub. A split is downloaded once; later it is read from the
 * cache without asking the hub.
 */
export function hubDocs(options: HubDocsOptions = {}): DocSource {
  return {
    async load({ dataset }, withExamples) {
      const examples = exampleSplit(dataset);
      const docs = await loadSplit(dataset, evaluatedSplit(dataset), options);
      const fewshotDocs =
        withExamples && examples !== undefined ? await loadSplit(dataset, examples, options) : [];
      return { docs, fewshotDocs };
    },
  };
}

async function loadSplit(
  { path: repo, name }: DatasetLocation,
  split: string,
  options: HubDocsOptions,
): Promise<Doc[]> {
  const folder = `${name ?? 'default'}/${split}`;
  const cache = join(options.cacheDir ?? hubCacheDir(), `datasets--${repo.replace('/', '--')}`);
  const files =
    (await cachedParts(cache, folder)) ?? (await download(repo, folder, cache, options));
  const docs: Doc[] = [];
  for (const file of files) {
    const bytes = await readFile(file);
    const buffer = new ArrayBuffer(bytes.byteLength);
    new Uint8Array(buffer).set(bytes);
    docs.push(...(await readParquet(buffer, file)));
  }
  return docs;
}

/** The files of a split that an earlier run left whole. */
async function cachedParts(cache: string, folder: string): Promise<string[] | undefined> {
  const commit = (await readFile(join(cache, 'refs', REVISION), 'utf8').catch(() => '')).trim();
  if (!isCommit(commit)) return undefined;
  const dir = join(cache, 'snapshots', commit, folder);
  const names = (await readdir(dir).catch(() => [])).filter((name) => name.endsWith('.parquet'));
  // The mark is set when all parts are there.
  if (names.length === 0 || !(await fileExists(join(dir, COMPLETE)))) return undefined;
  return names.toSorted().map((name) => join(dir, name));
}

const COMPLETE = '.complete';

async function download(
  repo: string,
  folder: string,
  cache: string,
  options: HubDocsOptions,
): Promise<string[]> {
  if (options.offline ?? /^(1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? '')) {
    throw new HubError(
      `${repo}, ${folder}: not in the cache (${cache}), and the hub is switched off ` +
        '(HF_HUB_OFFLINE); run once while online, or give the documents with --data-dir',
    );
  }
  const endpoint = (
    options.endpoint ??
    (process.env.HF_ENDPOINT || 'https://huggingface.co')
  ).replace(/\/+$/, '');
  const token = options.token ?? (await savedToken());
  const client = {
    headers: {
      'accept-encoding': 'identity',
      'user-agent': 'rene-js',
      ...(token && { authorization: `Bearer ${token}` }),
    },
    signal: options.signal,
    retryDelay: options.retryDelay,
  };
  const url = `${endpoint}/api/datasets/${repo}/revision/${encodeURIComponent(REVISION)}`;
  const { commit, names } = readListing(await requestJson(url, client), url);
  const parts = names.filter(
    (name) => name.startsWith(`${folder}/`) && /^[\w./-]+\.parquet$/.test(name),
  );
  if (parts.length === 0) {
    throw new EvaluationError(`${repo}: the hub has no documents named ${folder} of it`);
  }
  const files: string[] = [];
  for (const name of parts.toSorted()) {
    const file = await headOf(`${endpoint}/datasets/${repo}/resolve/${commit}/${name}`, client);
    const blob = join(cache, 'blobs', file.etag);
    if (!(await fileExists(blob))) {
      await downloadFile(file, blob, client, (bytes) =>
        options.onProgress?.(`${repo}/${name}`, bytes, file.size ?? bytes),
      );
    }
    files.push(await link(cache, commit, name, blob));
  }
  const empty = new Uint8Array(0);
  await writeFileAtomically(join(cache, 'snapshots', commit, folder, COMPLETE), (put) =>
    put(empty),
  );
  const text = new TextEncoder().encode(commit);
  await writeFileAtomically(join(cache, 'refs', REVISION), (put) => put(text));
  return files;
}

async function link(cache: string, commit: string, name: string, blob: string): Promise<string> {
  const path = join(cache, 'snapshots', commit, name);
  await mkdir(dirname(path), { recursive: true });
  await rm(path, { force: true });
  const bytes = () => readFile(blob).then((b) => writeFileAtomically(path, (put) => put(b)));
  await symlink(relative(dirname(path), blob), path).catch(bytes);
  return path;
}

async function savedToken(): Promise<string> {
  if (process.env.HF_TOKEN) return process.env.HF_TOKEN;
  const path = process.env.HF_TOKEN_PATH || join(hubHome(), 'token');
  return (await readFile(path, 'utf8').catch(() => '')).trim();
}

function readListing(json: unknown, url: string): { commit: string; names: string[] } {
  const { sha, siblings } = isDoc(json) ? json : {};
  if (typeof sha !== 'string' || !isCommit(sha) || !Array.isArray(siblings)) {
    throw new HubError(`${url}: the answer is not that of a Hugging Face hub`);
  }
  const names = siblings.map((file: unknown) => (isDoc(file) ? file.rfilename : undefined));
  return { commit: sha, names: names.filter((name) => typeof name === 'string') };
}

/** A file's size and checksum, which the hub gives in headers before it redirects. */
async function headOf(url: string, client: RequestOptions) {
  let current = url;
  for (let hops = 0; hops < 5; hops++) {
    const { headers, status } = await request(current, 'HEAD', client);
    const location = headers.get('location');
    const linked = headers.get('x-linked-etag');
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
