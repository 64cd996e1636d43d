// Documents from data sets on the Hugging Face hub, kept in the cache that Python uses too.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hubCacheDir, RepoCache } from '../../checkpoint/hub_cache.js';
import { type HubClientOptions, hubClient, isOffline } from '../../checkpoint/hub_client.js';
import { fetchFile } from '../../checkpoint/hub_files.js';
import { fileExists, writeFileAtomically } from '../../checkpoint/node_files.js';
import { HubError } from '../../errors.js';
import { EvaluationError } from '../errors.js';
import { type DatasetLocation, type Doc, evaluatedSplit, exampleSplit } from '../task.js';
import type { DocSource } from './documents.js';
import { readParquet } from './parquet.js';

/** How documents are fetched from the Hugging Face hub. */
export interface HubDocsOptions extends HubClientOptions {
  /** Called as bytes of a file arrive. */
  onProgress?: ((file: string, bytes: number, total: number) => void) | undefined;
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
  const cache = new RepoCache(options.cacheDir ?? hubCacheDir(), repo, 'datasets');
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
async function cachedParts(cache: RepoCache, folder: string): Promise<string[] | undefined> {
  const commit = await cache.commitOf(REVISION);
  if (commit === undefined) return undefined;
  const dir = join(cache.snapshot(commit), folder);
  const names = (await readdir(dir).catch(() => [])).filter((name) => name.endsWith('.parquet'));
  // The mark is set when all parts are there.
  if (names.length === 0 || !(await fileExists(join(dir, COMPLETE)))) return undefined;
  return names.toSorted().map((name) => join(dir, name));
}

const COMPLETE = '.complete';

async function download(
  repo: string,
  folder: string,
  cache: RepoCache,
  options: HubDocsOptions,
): Promise<string[]> {
  if (isOffline(options)) {
    throw new HubError(
      `${repo}, ${folder}: not in the cache (${cache.dir}), and the hub is switched off ` +
        '(HF_HUB_OFFLINE); run once while online, or give the documents with --docs or --data_dir',
    );
  }
  const client = await hubClient('datasets', repo, options);
  const { commit, files } = await client.list(REVISION).catch((error: unknown) => {
    if (!(error instanceof HubError)) throw error;
    const { message, status } = error;
    throw new HubError(`${repo}: ${message}; or give the documents with --docs or --data_dir`, {
      cause: error,
      ...(status !== undefined && { status }),
    });
  });
  const parts = files.filter(
    (name) =>
      name.startsWith(`${folder}/`) && /^[\w./-]+\.parquet$/.test(name) && !name.includes('..'),
  );
  if (parts.length === 0) {
    throw new EvaluationError(`${repo}: the hub has no documents named ${folder} of it`);
  }
  const paths: string[] = [];
  for (const name of parts.toSorted()) {
    const path = join(cache.snapshot(commit), name);
    if (!(await fileExists(path))) {
      const file = await client.head(commit, name);
      await fetchFile(cache, client, commit, name, file, (bytes) =>
        options.onProgress?.(`${repo}/${name}`, bytes, file.size ?? bytes),
      );
    }
    paths.push(path);
  }
  const empty = new Uint8Array(0);
  await writeFileAtomically(join(cache.snapshot(commit), folder, COMPLETE), (put) => put(empty));
  await cache.rememberRef(REVISION, commit);
  return paths;
}
