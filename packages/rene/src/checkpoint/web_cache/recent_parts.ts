// The last few parts of a kept file in memory: tensors are much smaller than a part, and are read in the file's order.
// Their buffers are used again and again, since memory that is touched for the first time is slow.
import type { PartStore } from './part_store.js';

/** As many as the regions that a quantised matrix is read from. */
const KEPT = 3;

export class RecentParts {
  /** The last used one is the last. */
  private readonly parts = new Map<number, Uint8Array<ArrayBuffer>>();
  private spare: ArrayBuffer | undefined;
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly store: PartStore,
    private readonly key: string,
  ) {}

  /** Copies bytes of a stored part, from a position on. @returns how many; 0 if the part is gone */
  read(index: number, from: number, into: Uint8Array): Promise<number> {
    // One after the other, since the next one often wants the same part.
    const result = this.last.then(async () => {
      const part = this.parts.get(index) ?? (await this.load(index));
      if (!part) return 0;
      this.put(index, part);
      return copy(part.subarray(from), into);
    });
    this.last = result.catch(() => {});
    return result;
  }

  /** Keeps a part. Its buffer is used for another one later. */
  put(index: number, part: Uint8Array<ArrayBuffer>): void {
    this.parts.delete(index);
    this.parts.set(index, part);
    for (const [old, { buffer }] of [...this.parts].slice(0, -KEPT)) {
      this.parts.delete(old);
      if (buffer.byteLength === this.store.partBytes) this.spare = buffer;
    }
  }

  /** A buffer for a part. */
  buffer(): Uint8Array<ArrayBuffer> {
    const buffer = this.spare ?? new ArrayBuffer(this.store.partBytes);
    this.spare = undefined;
    return new Uint8Array(buffer);
  }

  clear(): void {
    this.parts.clear();
  }

  private async load(index: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const { store, key } = this;
    if (store.readPart) {
      const buffer = this.buffer();
      const size = await store.readPart(key, index, buffer);
      if (size !== undefined) return buffer.subarray(0, size);
      this.spare = buffer.buffer;
    }
    const blob = await store.part(key, index);
    return blob && new Uint8Array(await blob.arrayBuffer());
  }
}

/** Copies as many bytes as there are, and fit. @returns how many */
export function copy(bytes: Uint8Array, into: Uint8Array): number {
  const part = bytes.subarray(0, into.length);
  into.set(part);
  return part.length;
}
