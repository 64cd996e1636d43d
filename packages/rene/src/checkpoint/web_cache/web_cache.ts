// Files that a page keeps between visits, in the browser's storage: keyed by URL, checked by ETag.
import { CheckpointError } from '../../errors.js';
import type { ByteSource } from '../byte_source.js';
import { shownUrl } from '../model_names.js';
import { findUrlSource } from '../web_file.js';
import { type FileCache, Missing, type WebFileOptions } from '../web_file_options.js';
import { ask, backOff, extentOf, isPage, PLAIN, retryBroken, validatorOf } from '../web_request.js';
import { freeBytes, lock, openStore } from './browser_storage.js';
import { cacheKey, unsignedUrl } from './cache_key.js';
import { type ByteReader, byteReader, CachedFile } from './cached_file.js';
import type { FileEntry, PartStore } from './part_store.js';

/** A kept file. */
export interface CachedFileInfo {
  readonly url: string;
  /** Bytes that are kept. */
  readonly bytes: number;
  readonly isComplete: boolean;
  /** When its download began. */
  readonly date: Date;
}

/** Small files that are being stored. The caller does not wait for them. */
let storing: Promise<unknown> = Promise.resolve();

export class WebCache implements FileCache {
  private readonly store: Promise<PartStore | undefined>;

  /** @param store Default: the browser's. */
  constructor(store?: PartStore) {
    this.store = store ? Promise.resolve(store) : openStore();
  }

  async open(url: string, options: WebFileOptions): Promise<ByteSource | Missing | undefined> {
    const store = await this.store;
    if (!store) {
      options.onNotice?.(
        'files are not kept: the browser refuses storage, or the page is served by neither https nor localhost',
      );
      return undefined;
    }
    const key = await cacheKey(url);
    // Another tab may download the same file.
    const release = await lock(`rene-models/${key}`, options.signal);
    try {
      const found = await this.openLocked(store, key, url, options, release);
      if (!(found instanceof CachedFile)) release();
      return found;
    } catch (error) {
      release();
      throw error;
    }
  }

  private async openLocked(
    store: PartStore,
    key: string,
    url: string,
    options: WebFileOptions,
    release: () => void,
  ): Promise<CachedFile | Missing | undefined> {
    const file = url.replace(/[?#].*/, '').replace(/.*\//, '');
    const make = (size: number, stored: number, validator?: string, reader?: ByteReader) =>
      new CachedFile(
        {
          ...{ url, key, store, size, stored, onEnd: release },
          onBytes: (bytes) => options.onProgress?.({ file, bytes, totalBytes: size }),
          settled: () => storing,
          wait: (tries) => backOff(tries, options),
          withoutStore: (error) => withoutStore(url, options, error),
          reopen: (at) => reopen(url, options, at, { size, validator }),
        },
        reader,
      );
    const entry = await store.entry(key);
    const stored = entry?.size === undefined ? 0 : await storedBytes(store, key);
    if (
      entry?.size !== undefined &&
      stored === entry.size &&
      (await isCurrent(url, entry, options))
    )
      return make(entry.size, stored);
    const isPartial = entry?.validator !== undefined && stored < (entry.size ?? 0);
    const resume = isPartial ? { at: stored, entry } : undefined;
    const begun = await retryBroken(options, () => begin(url, options, resume));
    if (begun instanceof Missing || begun === undefined) return begun;
    const { reader, start, size, validator } = begun;
    if (start === 0) await store.remove(key);
    const free = await freeBytes();
    if (size - start > free) {
      await reader.cancel();
      options.onNotice?.(
        `${shownUrl(url)} is not kept: it has ${megabytes(size)}, and the browser's storage has ${megabytes(free)} left`,
      );
      return undefined;
    }
    await store.setEntry(key, { url: unsignedUrl(url), validator, size, time: Date.now() });
    return make(size, start, validator, reader);
  }

  storeText(url: string, text: string | Missing): void {
    storing = Promise.all([storing, this.keepText(url, text)]);
  }

  private async keepText(url: string, text: string | Missing): Promise<void> {
    try {
      const [store, key] = [await this.store, await cacheKey(url)];
      if (!store) return;
      const entry = { url: unsignedUrl(url), validator: undefined, time: Date.now() };
      if (text instanceof Missing) {
        await store.setEntry(key, { ...entry, size: 0, missing: text.why });
        return;
      }
      const bytes = new TextEncoder().encode(text);
      const old = await store.part(key, 0);
      if (old?.size === bytes.length && (await old.text()) === text) return;
      await store.setPart(key, 0, bytes);
      await store.setEntry(key, { ...entry, size: bytes.length });
    } catch {
      // The storage is full. The caller has the text.
    }
  }

  async text(url: string): Promise<string | Missing | undefined> {
    await storing;
    const [store, key] = [await this.store, await cacheKey(url)];
    const entry = await store?.entry(key);
    if (!store || !entry) return undefined;
    if (entry.missing !== undefined) return new Missing(entry.missing);
    return (await store.part(key, 0))?.text();
  }

  async list(): Promise<CachedFileInfo[]> {
    await storing;
    const store = await this.store;
    const found: CachedFileInfo[] = [];
    for (const key of (await store?.keys()) ?? []) {
      const entry = await store?.entry(key);
      if (!store || !entry || entry.missing !== undefined) continue;
      const bytes = await storedBytes(store, key);
      found.push({
        ...{ url: entry.url, bytes, date: new Date(entry.time) },
        isComplete: bytes === entry.size,
      });
    }
    return found;
  }

  /** Deletes the files whose URL passes. @returns how many */
  async delete(isWanted: (url: string) => boolean): Promise<number> {
    await storing;
    const store = await this.store;
    let deleted = 0;
    for (const key of (await store?.keys()) ?? []) {
      const entry = await store?.entry(key);
      // Parts without an entry cannot be used.
      if (entry && !isWanted(entry.url)) continue;
      await store?.remove(key);
      deleted++;
    }
    return deleted;
  }
}

/** Total bytes of a file's parts up to the first gap. */
async function storedBytes(store: PartStore, key: string): Promise<number> {
  for (let index = 0; ; index++) {
    const size = (await store.part(key, index))?.size ?? 0;
    if (size < store.partBytes) return index * store.partBytes + size;
  }
}

/** Whether the server still has the version that is kept. Without a network: true. */
async function isCurrent(url: string, entry: FileEntry, options: WebFileOptions): Promise<boolean> {
  try {
    let response = await ask(url, options, PLAIN, { method: 'HEAD', cache: 'no-store' });
    let size = response instanceof Missing ? undefined : extentOf(response, 0).size;
    if (response instanceof Missing) {
      // Signed URLs may be for GET alone.
      response = await ask(url, options, { range: 'bytes=0-0' }, { cache: 'no-store' });
      if (response instanceof Missing) return false;
      await response.body?.cancel();
      size = response.headers.has('content-range') ? extentOf(response, 0).size : undefined;
    }
    const validator = validatorOf(response);
    if (validator !== undefined && entry.validator !== undefined) {
      return validator === entry.validator;
    }
    return size === undefined || size === entry.size;
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof CheckpointError) return true;
    throw error;
  }
}

interface Begun {
  reader: ByteReader;
  /** The position of its first byte. */
  start: number;
  size: number;
  validator: string | undefined;
}

/**
 * Begins to read the rest of a file, or all of it; undefined if the server does not state the size.
 *
 * @throws BrokenError if the connection breaks before the first bytes are read
 */
async function begin(
  url: string,
  options: WebFileOptions,
  resume?: { at: number; entry: FileEntry },
): Promise<Begun | Missing | undefined> {
  const at = resume?.at ?? 0;
  const headers = { ...PLAIN, range: `bytes=${at}-`, ...ifRange(url, resume?.entry.validator) };
  const response = await ask(url, options, headers, { cache: 'no-store' });
  if (response instanceof Missing) return resume ? begin(url, options) : response;
  const { start, size } = extentOf(response, at);
  const validator = validatorOf(response);
  const isOther =
    resume !== undefined &&
    start > 0 &&
    (size !== resume.entry.size || isOtherVersion(validator, resume.entry.validator));
  if (isOther || size === undefined) {
    await response.body?.cancel();
    return isOther ? begin(url, options) : undefined;
  }
  const reader = await checkedReader(url, response, start);
  return reader instanceof Missing ? reader : { reader, start, size, validator };
}

/** Requests the whole file if it has changed. Not for other origins, where CORS must allow the header. */
function ifRange(url: string, validator: string | undefined): Record<string, string> {
  const isOwn = new URL(url).origin === Reflect.get(globalThis, 'origin');
  return isOwn && validator?.startsWith('"') ? { 'if-range': validator } : {};
}

/** Goes on at a byte. A server without ranges sends what is before it once more. */
async function reopen(
  url: string,
  options: WebFileOptions,
  at: number,
  { size, validator }: { size: number; validator: string | undefined },
): Promise<ByteReader> {
  const headers = { ...PLAIN, range: `bytes=${at}-` };
  const response = await ask(url, options, headers, { cache: 'no-store' });
  if (!(response instanceof Missing) && response.body) {
    const extent = extentOf(response, at);
    const isSame = extent.size === size && !isOtherVersion(validatorOf(response), validator);
    if (isSame) return byteReader(url, response.body, at - extent.start);
    await response.body.cancel();
  }
  throw new CheckpointError(`${shownUrl(url)}: it changed while it was downloaded; load it again`);
}

function isOtherVersion(found: string | undefined, kept: string | undefined): boolean {
  return found !== undefined && kept !== undefined && found !== kept;
}

/** The response's bytes, unless they are a web page. */
async function checkedReader(
  url: string,
  response: Response,
  start: number,
): Promise<ByteReader | Missing> {
  const reader = response.body && byteReader(url, response.body);
  if (!reader) return new Missing('an empty answer');
  const first = await reader.read();
  const text = new TextDecoder('latin1').decode(first.value?.subarray(0, 100));
  if (start === 0 && isPage(response, text)) {
    await reader.cancel();
    return new Missing('a web page');
  }
  let isFirst = true;
  return {
    async read() {
      if (!isFirst) return reader.read();
      isFirst = false;
      return first;
    },
    cancel: () => reader.cancel(),
  };
}

async function withoutStore(
  url: string,
  options: WebFileOptions,
  error: unknown,
): Promise<ByteSource> {
  const why = error instanceof Error ? error.message : String(error);
  options.onNotice?.(
    `${shownUrl(url)} is not kept: the browser's storage is full (${why}); reading the rest into memory`,
  );
  const source = await findUrlSource(url, { ...options, cache: undefined });
  if (!(source instanceof Missing)) return source;
  throw new CheckpointError(`${shownUrl(url)}: expected a file, found ${source.why}`);
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
