// Random access to bytes: a file, a Blob or an array. Checkpoints are read from it.
import { CheckpointError } from '../errors.js';

/** A readable object of known size. */
export interface ByteSource {
  /** A path or a URL, for error messages. */
  readonly name: string;
  readonly size: number;
  /**
   * Bytes [start, start + length).
   *
   * @param into where they may be put. Then it is what is returned.
   * @throws CheckpointError if they are incomplete
   */
  read(start: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Bytes in memory. */
export function bytesSource(memory: Uint8Array, name: string): ByteSource {
  // slice() of a Node Buffer does not copy.
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

/** A Blob, or in the browser a File. */
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
    `${name}: expected at least ${start + length} bytes, found ${size}; the file may be truncated`,
  );
}
