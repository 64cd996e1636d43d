// The last few parts of a kept file in memory: tensors are much smaller than a part, and are read in the file's order.
import type { PartStore } from './part_store.js';

/** As many as the regions that a quantised matrix is read from. */
const KEPT = 3;

export class RecentParts {
  /** The last used one is the last. */
  private readonly parts = new Map<number, Promise<Uint8Array | undefined>>();

  constructor(
    private readonly store: PartStore,
    private readonly key: string,
  ) {}

  /** A part that is stored; undefined if it is gone. */
  get(index: number): Promise<Uint8Array | undefined> {
    const bytes = this.parts.get(index) ?? this.read(index);
    this.put(index, bytes);
    return bytes;
  }

  /** @param bytes of a part, which nobody changes */
  put(index: number, bytes: Promise<Uint8Array | undefined>): void {
    this.parts.delete(index);
    this.parts.set(index, bytes);
    for (const old of [...this.parts.keys()].slice(0, -KEPT)) this.parts.delete(old);
  }

  clear(): void {
    this.parts.clear();
  }

  private async read(index: number): Promise<Uint8Array | undefined> {
    const { store, key } = this;
    const bytes = await store.readPart?.(key, index);
    if (bytes) return bytes;
    const blob = await store.part(key, index);
    return blob && new Uint8Array(await blob.arrayBuffer());
  }
}
