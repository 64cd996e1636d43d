// A pool of GPU buffers, since creating a buffer takes longer than a launch.
//
// All work runs in the order of one queue, so a released buffer is reused at once. Buffers of a recording are in an
// arena of its own until the recording is freed.
import type { Address } from '../native/address.js';
import type { BlockAllocator } from '../native/memory.js';
import type { Buffers } from './buffers.js';
import { GpuOutOfMemoryError, megabytes } from './errors.js';

/** Larger blocks are made as large as they are asked for, and freed when they are released. */
const MOST_POOLED_BYTES = 64 << 20;
/** Of released blocks that are kept. */
const MOST_FREE_BYTES = 256 << 20;

interface Block {
  buffer: GPUBuffer;
  arena: Arena | undefined;
  isReusable: boolean;
}

interface Arena {
  free: Map<number, Address[]>;
  blocks: Set<Address>;
}

export class BufferPool implements BlockAllocator {
  private readonly blocks = new Map<Address, Block>();
  private readonly free = new Map<number, Address[]>();
  private freeBytes = 0;
  private arena: Arena | undefined;
  /** Bytes of all buffers of this pool. */
  allocatedBytes = 0;

  /** @param submit submits what has been encoded: a destroyed buffer must not be in it */
  constructor(
    private readonly device: GPUDevice,
    private readonly buffers: Buffers,
    private readonly submit: () => void,
  ) {}

  /** Buffers that are in use or kept for use. */
  get count(): number {
    return this.blocks.size;
  }

  /** Released buffers that are kept for use. */
  get keptCount(): number {
    let count = 0;
    for (const list of this.free.values()) count += list.length;
    return count;
  }

  allocate(bytes: number): Address {
    const size = sizeOf(bytes);
    const { arena } = this;
    const list = (arena ? arena.free : this.free).get(size);
    const known = list?.pop();
    if (known !== undefined) {
      if (!arena) this.freeBytes -= size;
      return known;
    }
    const address = this.create(size);
    arena?.blocks.add(address);
    return address;
  }

  /** A block of a buffer of exactly so many bytes, which a tensor of tfjs must have. */
  allocateExact(bytes: number): Address {
    return this.create(Math.max(4, Math.ceil(bytes / 4) * 4));
  }

  release(address: Address): void {
    const block = this.blocks.get(address);
    if (!block) return;
    const { size } = block.buffer;
    const isReusable = block.isReusable && size === sizeOf(size) && size <= MOST_POOLED_BYTES;
    if (block.arena) {
      keep(block.arena.free, size, address);
    } else if (!isReusable || this.freeBytes + size > MOST_FREE_BYTES) {
      this.destroy(address);
    } else {
      this.freeBytes += size;
      keep(this.free, size, address);
    }
  }

  /** Until leaveArena() blocks come from an arena. */
  enterArena(): void {
    this.arena = { free: new Map(), blocks: new Set() };
  }

  /** @returns frees the arena's blocks */
  leaveArena(): () => void {
    const { arena } = this;
    this.arena = undefined;
    return () => {
      for (const address of arena?.blocks ?? []) this.destroy(address);
    };
  }

  /** After a failed allocation, which the device reports late: no block allocated so far is reused. */
  distrust(): void {
    this.trim();
    for (const block of this.blocks.values()) block.isReusable = false;
  }

  /** Destroys the released blocks that were kept. */
  trim(): void {
    for (const list of this.free.values()) for (const address of list) this.destroy(address);
    this.free.clear();
    this.freeBytes = 0;
  }

  private create(size: number): Address {
    const { maxBufferSize } = this.device.limits;
    if (size > maxBufferSize) {
      throw new GpuOutOfMemoryError(size, `this GPU allows ${megabytes(maxBufferSize)} a buffer`);
    }
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = this.device.createBuffer({ size, usage });
    const address = this.buffers.addressOf(buffer);
    this.blocks.set(address, { buffer, arena: this.arena, isReusable: true });
    this.allocatedBytes += size;
    return address;
  }

  /** Frees a block for good. */
  destroy(address: Address): void {
    const block = this.blocks.get(address);
    if (!block) return;
    this.submit();
    this.blocks.delete(address);
    this.allocatedBytes -= block.buffer.size;
    block.buffer.destroy();
  }
}

/** A power of two up to 1 MiB, then whole parts of 64 KiB. */
function sizeOf(bytes: number): number {
  if (bytes > 1 << 20) return Math.ceil(bytes / 65536) * 65536;
  return Math.max(256, 2 ** Math.ceil(Math.log2(Math.max(1, bytes))));
}

function keep(free: Map<number, Address[]>, size: number, address: Address): void {
  const list = free.get(size);
  if (list) list.push(address);
  else free.set(size, [address]);
}
