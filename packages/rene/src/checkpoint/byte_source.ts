// Bytes that can be read in pieces: a file, a Blob, an array. What checkpoints are read from.
import { CheckpointError } from '../errors.js';

/** A file-like thing of known size. */
export interface ByteSource {
  /** Where the bytes are, for error messages: a path or a URL. */
  readonly name: string;
  readonly size: number;
  /** Bytes [start, start + length). @throws CheckpointError when they are not all there. */
  read(start: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Bytes in memory. */
export function bytesSource(memory: Uint8Array, name: string): ByteSource {
  // A Node Buffer is a Uint8Array whose slice() does not copy.
  const bytes = new Uint8Array(memory.buffer, memory.byteOffset, memory.byteLength);
  return {
    name,
    size: bytes.byteLength,
    async read(start, length) {
      checkRange(name, bytes.byteLength, start, length);
      return bytes.subarray(start, start + length);
    },
    async close() {},
  };
}

/** A Blob or, in the browser, a File that the user chose. */
export function blobSource(blob: Blob, name: string): ByteSource {
  return {
    name,
    size: blob.size,
    async read(start, length) {
      checkRange(name, blob.size, start, length);
      return new Uint8Array(await blob.slice(start, start + length).arrayBuffer());
    },
    async close() {},
  };
}

/**
 * A file on a server that answers range requests; for a page that loads a model in pieces. Node
 * should rather download it, see resolveModel.
 *
 * @throws CheckpointError when it is not there, or the server gives no ranges.
 */
export async function urlSource(url: string, init: RequestInit = {}): Promise<ByteSource> {
  const probe = await fetchRange(url, init, 0, 1);
  const size = Number(/\/(\d+)$/.exec(probe.headers.get('content-range') ?? '')?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(size)) {
    throw new CheckpointError(`${url}: the server does not tell its size (Content-Range)`);
  }
  return {
    name: url,
    size,
    async read(start, length) {
      checkRange(url, size, start, length);
      if (length === 0) return new Uint8Array(0);
      const bytes = new Uint8Array(
        await (await fetchRange(url, init, start, length)).arrayBuffer(),
      );
      checkRange(url, bytes.length, 0, length);
      return bytes;
    },
    async close() {},
  };
}

async function fetchRange(
  url: string,
  init: RequestInit,
  start: number,
  length: number,
): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('range', `bytes=${start}-${start + length - 1}`);
  const response = await fetch(url, { ...init, headers }).catch((error: unknown) => {
    throw new CheckpointError(`${url}: cannot be reached`, undefined, { cause: error });
  });
  if (response.status === 206) return response;
  await response.body?.cancel();
  const found = response.status === 200 ? 'the whole file' : `HTTP ${response.status}`;
  throw new CheckpointError(`${url}: a range of bytes was asked for, found ${found}`);
}

export function checkRange(name: string, size: number, start: number, length: number): void {
  if (start >= 0 && length >= 0 && start + length <= size) return;
  throw new CheckpointError(
    `${name}: bytes ${start} to ${start + length} were asked for, but it has ${size}; is it truncated?`,
  );
}
