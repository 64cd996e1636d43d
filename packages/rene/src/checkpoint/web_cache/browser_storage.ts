// The browser's storage: OPFS or the Cache API, its free space, and locks between tabs.
import { type CacheStorage, cacheApiStore } from './cache_api_store.js';
import { opfsStore, type StorageManager } from './opfs_store.js';
import type { PartStore } from './part_store.js';

// Browser globals that Node's type declarations lack. Pages of insecure origins lack them too.
interface Navigator {
  storage?: StorageManager & {
    estimate?(): Promise<{ quota?: number; usage?: number }>;
    persist?(): Promise<boolean>;
  };
  locks?: {
    request(
      name: string,
      options: { signal?: AbortSignal },
      held: () => Promise<void>,
    ): Promise<void>;
  };
}

function navigator(): Navigator {
  const found: Navigator | undefined = Reflect.get(globalThis, 'navigator');
  return found ?? {};
}

/** The store of this page; undefined where it has none. */
export async function openStore(): Promise<PartStore | undefined> {
  const { storage } = navigator();
  if (typeof storage?.getDirectory === 'function') {
    const store = await opfsStore(storage);
    if (store) return store;
  }
  const caches: CacheStorage | undefined = Reflect.get(globalThis, 'caches');
  return caches && cacheApiStore(caches);
}

/** Bytes that the browser may still store for this page; infinite if it does not say. */
export async function freeBytes(): Promise<number> {
  const { quota, usage } = (await navigator().storage?.estimate?.()) ?? {};
  return quota === undefined ? Number.POSITIVE_INFINITY : quota - (usage ?? 0);
}

/** Asks the browser not to delete files when the disk is full. A worker cannot ask. */
export async function persist(): Promise<boolean> {
  return (await navigator().storage?.persist?.()) ?? false;
}

/** Waits until no other tab holds a lock. @returns its release */
export function lock(name: string, signal: AbortSignal | undefined): Promise<() => void> {
  const { locks } = navigator();
  if (!locks) return Promise.resolve(() => {});
  return new Promise((resolve, reject) => {
    const held = () => new Promise<void>((release) => resolve(release));
    locks.request(name, signal ? { signal } : {}, held).catch(reject);
  });
}
