// Documents from data sets on the Hugging Face hub, in the cache shared with Python.
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HubError } from '@rene-js/rene';
import {
  fetchFile,
  fileExists,
  type HubClient,
  type HubClientOptions,
  hubCacheDir,
  hubClient,
  isOffline,
  RepoCache,
  writeFileAtomically,
} from '@rene-js/rene/internal';
import { EvaluationError } from '../errors.js';
import { type DatasetLocation, type Doc, evaluatedSplit, exampleSplit } from '../task.js';
import { readDocuments } from './document_file.js';
import type { DocSource } from './documents.js';
import { areAllParts, type Layout, layoutsOf, partsIn } from './hub_layout.js';

/** Options of downloads from the Hugging Face hub. */
export interface HubDocsOptions extends HubClientOptions {
  /** Called as bytes of a file arrive. */
  onProgress?: ((file: string, bytes: number, total: number) => void) | undefined;
}

/**
 * Documents of any task from the hub. A split is downloaded once, then read from the cache without requests
 * to the hub.
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
  dataset: DatasetLocation,
  split: string,
  options: HubDocsOptions,
): Promise<Doc[]> {
  const cache = new RepoCache(options.cacheDir ?? hubCacheDir(), dataset.path, 'datasets');
  const layouts = layoutsOf(dataset, split);
  const what = `${dataset.name ?? 'default'}/${split}`;
  const files =
    (await cachedParts(cache, layouts)) ??
    (await download(dataset.path, cache, { layouts, what }, options));
  const docs: Doc[] = [];
  for (const file of files) docs.push(...(await readDocuments(file)));
  return docs;
}

/** The complete files of a split in the cache. */
async function cachedParts(
  cache: RepoCache,
  layouts: readonly Layout[],
): Promise<string[] | undefined> {
  for (const layout of layouts) {
    const commit = await cache.commitOf(layout.revision);
    if (commit === undefined) continue;
    const snapshot = cache.snapshot(commit);
    const listed = layout.folders.map(async (folder) => {
      const names = await readdir(join(snapshot, folder)).catch(() => []);
      return names.map((name) => (folder === '' ? name : `${folder}/${name}`));
    });
    const parts = partsIn((await Promise.all(listed)).flat(), layout);
    const [first] = parts;
    if (first === undefined) continue;
    const isWhole =
      areAllParts(parts, layout) ?? (await fileExists(join(snapshot, dirname(first), COMPLETE)));
    if (isWhole) return parts.map((name) => join(snapshot, name));
  }
  return undefined;
}

/** Marks a complete folder. */
const COMPLETE = '.complete';

async function download(
  repo: string,
  cache: RepoCache,
  { layouts, what }: { layouts: readonly Layout[]; what: string },
  options: HubDocsOptions,
): Promise<string[]> {
  if (isOffline(options)) {
    throw new HubError(
      `${repo}, ${what}: not in the cache (${cache.dir}), and offline mode is on ` +
        '(HF_HUB_OFFLINE); run once while online, or pass the documents with --docs or --data_dir',
    );
  }
  const client = await hubClient('datasets', repo, options);
  let missing: HubError | undefined;
  let isListed = false;
  for (const layout of layouts) {
    const listing = await client.list(layout.revision).catch((error: unknown) => {
      if (!(error instanceof HubError)) throw error;
      const { message, status } = error;
      missing = new HubError(
        `${repo}: ${message}; or pass the documents with --docs or --data_dir`,
        {
          cause: error,
          ...(status !== undefined && { status }),
        },
      );
      if (status !== 404) throw missing;
      return undefined;
    });
    isListed ||= listing !== undefined;
    const parts = partsIn(listing?.files ?? [], layout);
    if (listing && parts.length > 0) {
      return downloadParts(cache, client, { layout, commit: listing.commit, parts }, options);
    }
  }
  if (missing && !isListed) throw missing;
  throw new EvaluationError(`${repo}: the hub has no files for ${what}`);
}

async function downloadParts(
  cache: RepoCache,
  client: HubClient,
  { layout, commit, parts }: { layout: Layout; commit: string; parts: readonly string[] },
  options: HubDocsOptions,
): Promise<string[]> {
  const paths: string[] = [];
  for (const name of parts) {
    const path = join(cache.snapshot(commit), name);
    if (!(await fileExists(path))) {
      const file = await client.head(commit, name);
      await fetchFile(cache, client, commit, name, file, (bytes) =>
        options.onProgress?.(`${client.repo}/${name}`, bytes, file.size ?? bytes),
      );
    }
    paths.push(path);
  }
  const [first = ''] = paths;
  await writeFileAtomically(join(dirname(first), COMPLETE), (put) => put(new Uint8Array(0)));
  await cache.rememberRef(layout.revision, commit);
  return paths;
}
