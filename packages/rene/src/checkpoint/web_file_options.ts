// Options of requests for files on web servers.
import type { ByteSource } from './byte_source.js';
import type { DownloadProgress } from './hub.js';

export interface WebFileOptions {
  headers?: Readonly<Record<string, string>> | undefined;
  /** Called when a file is read in another way than wanted, such as as a whole. */
  onNotice?: ((notice: string) => void) | undefined;
  /** Called as bytes of large files arrive. */
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds before the first retry of a broken download; doubled each time. Default: 500. */
  retryDelay?: number | undefined;
  /** Where a page keeps files. Default: nowhere. */
  cache?: FileCache | undefined;
}

/** The reason why a file is missing: 'HTTP 404', 'a web page'. */
export class Missing {
  constructor(readonly why: string) {}
}

/** Files that a page keeps. */
export interface FileCache {
  /** A large file, downloaded into the cache if necessary; undefined if it cannot be kept. */
  open(url: string, options: WebFileOptions): Promise<ByteSource | Missing | undefined>;
  /** Stores the text of a small file, or the fact that it is missing, without waiting for it. Never throws. */
  storeText(url: string, text: string | Missing): void;
  /** What storeText kept; undefined if nothing. */
  text(url: string): Promise<string | Missing | undefined>;
}
