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

export function checkRange(name: string, size: number, start: number, length: number): void {
  if (start >= 0 && length >= 0 && start + length <= size) return;
  throw new CheckpointError(
    `${name}: bytes ${start} to ${start + length} were asked for, but it has ${size}; is it truncated?`,
  );
}
