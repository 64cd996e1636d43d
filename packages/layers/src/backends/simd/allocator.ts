// First-fit allocator for tensors in one WebAssembly memory. Adjacent free blocks are merged.
import { BackendError } from '../../errors.js';
import { HEAP } from './control.js';
import type { WasmMemory } from './webassembly.js';

const PAGE = 65536;
/** Every block is aligned to a cache line. */
const LINE = 64;
/** Minimum growth of the memory. */
const GROWTH = 4 << 20;

interface Range {
  start: number;
  end: number;
}

export class Allocator {
  /** Free ranges, sorted by address; merged where they touch. */
  private readonly free: Range[] = [];
  private readonly sizes = new Map<number, number>();
  private end: number;
  private used = 0;

  /** @param maximumPages maximum size of the memory in pages of 64 KiB */
  constructor(
    private readonly memory: WasmMemory,
    private readonly maximumPages: number,
  ) {
    this.end = memory.buffer.byteLength;
    this.free.push({ start: HEAP, end: this.end });
  }

  /** Bytes in use. */
  get usedBytes(): number {
    return this.used;
  }

  get maximumBytes(): number {
    return this.maximumPages * PAGE;
  }

  /** Upper bound of the bytes that can still be allocated. */
  get freeBytes(): number {
    return this.maximumBytes - HEAP - this.used;
  }

  /**
   * Allocates at least one byte at a multiple of 64. The contents are not initialised.
   *
   * @throws BackendError if the memory's maximum is reached, or the platform has no more memory
   */
  allocate(bytes: number): number {
    const size = Math.max(LINE, Math.ceil(bytes / LINE) * LINE);
    let i = this.free.findIndex((range) => range.end - range.start >= size);
    if (i < 0) i = this.grow(size);
    const range = this.free[i];
    if (!range) throw new BackendError('the free list is damaged');
    const address = range.start;
    range.start += size;
    if (range.start === range.end) this.free.splice(i, 1);
    this.sizes.set(address, size);
    this.used += size;
    return address;
  }

  release(address: number): void {
    const size = this.sizes.get(address);
    if (size === undefined) throw new BackendError(`no block starts at ${address}`);
    this.sizes.delete(address);
    this.used -= size;
    let i = this.free.findIndex((range) => range.start > address);
    if (i < 0) i = this.free.length;
    const before = this.free[i - 1];
    const after = this.free[i];
    const end = address + size;
    const joinsBefore = before?.end === address;
    if (joinsBefore && after?.start === end) {
      before.end = after.end;
      this.free.splice(i, 1);
    } else if (joinsBefore) {
      before.end = end;
    } else if (after?.start === end) {
      after.start = address;
    } else {
      this.free.splice(i, 0, { start: address, end });
    }
  }

  /** Grows the memory; returns the index of a free range of at least `size`. */
  private grow(size: number): number {
    const last = this.free.at(-1);
    const tail = last && last.end === this.end ? last : undefined;
    const missing = size - (tail ? tail.end - tail.start : 0);
    const maximum = this.maximumBytes;
    const bytes = Math.min(Math.max(missing, GROWTH), Math.max(missing, maximum - this.end));
    const pages = Math.ceil(bytes / PAGE);
    try {
      this.memory.grow(pages);
    } catch (cause) {
      throw new BackendError(this.refusal(size, this.end + pages * PAGE > maximum), { cause });
    }
    const start = this.end;
    this.end += pages * PAGE;
    if (tail) tail.end = this.end;
    else this.free.push({ start, end: this.end });
    return this.free.length - 1;
  }
  private refusal(size: number, isBeyondMaximum: boolean): string {
    const gib = (bytes: number) => `${Number((bytes / 2 ** 30).toFixed(2))} GiB`;
    const limit = isBeyondMaximum
      ? `the backend 'simd' holds at most ${gib(this.maximumBytes)}`
      : "the machine has no more memory for the backend 'simd'";
    return (
      `${limit}: ${gib(this.used)} are in use and ${gib(size)} more were asked for. Load the weights as ` +
      'bf16, int8 or int4 instead of f32, or dispose of tensors that are no longer needed'
    );
  }
}
