// Where a page keeps files: in parts, each written as a whole, so that a broken download loses little.
import { asRecord } from '../../json.js';

/** Bytes of a part. */
export const PART_BYTES = 16 << 20;

/** What is known of a kept file. */
export interface FileEntry {
  /** Without what signs it, see cacheKey. */
  readonly url: string;
  /** ETag or Last-Modified of the version; undefined if the server sends none. */
  readonly validator: string | undefined;
  /** Its size; undefined until it is known. */
  readonly size: number | undefined;
  /** The reason why there is no such file. */
  readonly missing?: string | undefined;
  /** When it was stored, in milliseconds since 1970. */
  readonly time: number;
}

/** A storage of a browser. */
export interface PartStore {
  /** Bytes of a part but the last. */
  readonly partBytes: number;
  keys(): Promise<string[]>;
  entry(key: string): Promise<FileEntry | undefined>;
  setEntry(key: string, entry: FileEntry): Promise<void>;
  /** A part; undefined if there is none. */
  part(key: string, index: number): Promise<Blob | undefined>;
  /**
   * Reads a part where there is a faster way than a Blob.
   *
   * @returns the number of its bytes; undefined where it does not work now
   */
  readPart?(key: string, index: number, into: Uint8Array): Promise<number | undefined>;
  /** @throws an error named QuotaExceededError if there is no room */
  setPart(key: string, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  remove(key: string): Promise<void>;
}

/** Whether an error says that a browser's storage is full. */
export function isQuotaError(error: unknown): boolean {
  return error instanceof Error && /^(QuotaExceededError|NS_ERROR_DOM_QUOTA)/.test(error.name);
}

/** The entry that a store wrote; undefined if there is none, or it is damaged. */
export async function readEntry(blob: Blob | undefined): Promise<FileEntry | undefined> {
  if (!blob) return undefined;
  let fields: Record<string, unknown> | undefined;
  try {
    fields = asRecord(JSON.parse(await blob.text()));
  } catch {
    return undefined;
  }
  const { url, validator, size, missing, time } = fields ?? {};
  if (typeof url !== 'string' || typeof time !== 'number') return undefined;
  return {
    url,
    time,
    validator: typeof validator === 'string' ? validator : undefined,
    size: typeof size === 'number' ? size : undefined,
    missing: typeof missing === 'string' ? missing : undefined,
  };
}
