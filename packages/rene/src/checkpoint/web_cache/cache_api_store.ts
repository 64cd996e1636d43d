// Files in the Cache API, for browsers without a private file system: a response a part.
import { PART_BYTES, type PartStore, readEntry } from './part_store.js';

// The parts of the Cache API that are used; Node's type declarations lack them.
interface ResponseCache {
  match(url: string): Promise<Response | undefined>;
  put(url: string, response: Response): Promise<void>;
  delete(url: string): Promise<boolean>;
  keys(): Promise<readonly { url: string }[]>;
}
export interface CacheStorage {
  open(name: string): Promise<ResponseCache>;
}

const NAME = 'rene-models';
/** The responses' URLs: no server's, but the API wants one. */
const BASE = 'https://rene-models.invalid/';
const ENTRY = 'entry.json';

/** The store; undefined where the browser refuses. */
export async function cacheApiStore(caches: CacheStorage): Promise<PartStore | undefined> {
  let cache: ResponseCache;
  try {
    cache = await caches.open(NAME);
  } catch {
    return undefined;
  }
  const urlOf = (key: string, name: string) => `${BASE}${key}/${name}`;
  const read = async (key: string, name: string) => (await cache.match(urlOf(key, name)))?.blob();
  const names = async () => (await cache.keys()).map(({ url }) => url.slice(BASE.length));
  return {
    partBytes: PART_BYTES,
    async keys() {
      return [...new Set((await names()).map((name) => name.replace(/\/.*/, '')))];
    },
    async entry(key) {
      return readEntry(await read(key, ENTRY));
    },
    setEntry: (key, entry) => cache.put(urlOf(key, ENTRY), new Response(JSON.stringify(entry))),
    part: (key, index) => read(key, String(index)),
    setPart: (key, index, bytes) => cache.put(urlOf(key, String(index)), new Response(bytes)),
    async remove(key) {
      for (const name of await names()) {
        if (name.startsWith(`${key}/`)) await cache.delete(BASE + name);
      }
    },
  };
}
