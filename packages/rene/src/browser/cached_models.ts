// The models that a page keeps: list and delete.
import type { HubOptions } from '../checkpoint/hub.js';
import { webFolderOf } from '../checkpoint/platform_browser.js';
import { persist } from '../checkpoint/web_cache/browser_storage.js';
import { WebCache } from '../checkpoint/web_cache/web_cache.js';

/** A model in the browser's storage. */
export interface CachedModel {
  /** The URL of its folder. */
  readonly url: string;
  /** Bytes of its files that are kept. */
  readonly bytes: number;
  /** Whether no download is unfinished. */
  readonly isComplete: boolean;
  /** When its first file was stored. */
  readonly date: Date;
}

/** The models that pages of this origin have loaded and kept. */
export async function listCached(): Promise<CachedModel[]> {
  const models = new Map<string, CachedModel>();
  for (const { url, bytes, isComplete, date } of await new WebCache().list()) {
    const folder = folderOf(url);
    const model = models.get(folder) ?? { url: folder, bytes: 0, isComplete: true, date };
    models.set(folder, {
      url: folder,
      bytes: model.bytes + bytes,
      isComplete: model.isComplete && isComplete,
      date: new Date(Math.min(date.getTime(), model.date.getTime())),
    });
  }
  return [...models.values()].sort((a, b) => a.url.localeCompare(b.url));
}

/**
 * Deletes the stored files of a model. A model that is in use stays in memory.
 *
 * @param idOrUrl as for loadInWorker, or a URL of listCached. Default: all models.
 * @returns the number of deleted files
 */
export async function deleteCached(
  idOrUrl?: string | URL,
  hub: Pick<HubOptions, 'endpoint' | 'revision'> = {},
): Promise<number> {
  const cache = new WebCache();
  if (idOrUrl === undefined) return cache.delete(() => true);
  const { name } = webFolderOf(idOrUrl, hub);
  return cache.delete((url) => folderOf(url) === name);
}

/**
 * Asks the browser not to delete the kept models when the disk is full. Some browsers ask the user.
 *
 * @returns whether it agreed
 */
export function persistCache(): Promise<boolean> {
  return persist();
}

function folderOf(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname.replace(/\/[^/]*$/, '');
}
