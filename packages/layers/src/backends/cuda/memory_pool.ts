// A pool of device memory blocks, since an allocation by the driver takes as long as a kernel.
//
// All work is ordered by one stream, so a released block can be reused at once. A recorded graph keeps the
// blocks that it uses in an arena until it is disposed.
import { CudaError, type Device } from './device.js';

export class MemoryPool {
  private readonly sizes = new Map<number, number>();
  private readonly free = new Map<number, number[]>();
  private readonly owners = new Map<number, Arena>();
  private arena: Arena | undefined;
  /** Bytes in use. */
  usedBytes = 0;
  /** Maximum of usedBytes so far. */
  peakBytes = 0;

  constructor(private readonly device: Device) {}

  /** @throws CudaError if the GPU's memory is full, even after the pool's free blocks are released */
  allocate(bytes: number): number {
    const size = roundUp(bytes);
    const address = this.arena?.take(size) ?? this.free.get(size)?.pop() ?? this.grow(size);
    if (this.arena) {
      this.arena.own(address, size);
      this.owners.set(address, this.arena);
    }
    this.usedBytes += size;
    this.peakBytes = Math.max(this.peakBytes, this.usedBytes);
    return address;
  }

  release(address: number): void {
    const size = this.sizes.get(address) ?? 0;
    this.usedBytes -= size;
    const owner = this.owners.get(address);
    if (owner) owner.give(address, size);
    else put(this.free, size, address);
  }

  /** Allocates from a new arena until leaveArena(). */
  enterArena(): void {
    this.arena = new Arena();
  }

  /** Returns a function that releases the arena's blocks to the pool. */
  leaveArena(): () => void {
    const arena = this.arena;
    this.arena = undefined;
    return () => {
      for (const [address, size] of arena?.blocks ?? []) {
        this.owners.delete(address);
        // A block still in use (a tensor that outlives the graph) returns to the pool when it is released.
        if (arena?.isFree(address, size)) put(this.free, size, address);
      }
    };
  }

  /** Frees the unused blocks. */
  trim(): void {
    for (const addresses of this.free.values()) {
      for (const address of addresses) {
        this.device.free(address);
        this.sizes.delete(address);
      }
    }
    this.free.clear();
  }

  private grow(size: number): number {
    let address: number;
    try {
      address = this.device.allocate(size);
    } catch (error) {
      if (!(error instanceof CudaError) || this.free.size === 0) throw error;
      this.device.synchronize();
      this.trim();
      address = this.device.allocate(size);
    }
    this.sizes.set(address, size);
    return address;
  }
}

class Arena {
  readonly blocks = new Map<number, number>();
  private readonly free = new Map<number, number[]>();

  take(size: number): number | undefined {
    return this.free.get(size)?.pop();
  }

  give(address: number, size: number): void {
    put(this.free, size, address);
  }

  own(address: number, size: number): void {
    this.blocks.set(address, size);
  }

  isFree(address: number, size: number): boolean {
    return this.free.get(size)?.includes(address) ?? false;
  }
}

function put(free: Map<number, number[]>, size: number, address: number): void {
  const addresses = free.get(size);
  if (addresses) addresses.push(address);
  else free.set(size, [address]);
}

/** Rounds up to few sizes, so that blocks are reused: an eighth of a power of two apart. */
function roundUp(bytes: number): number {
  if (bytes <= 512) return 512;
  const step = 2 ** Math.max(9, Math.floor(Math.log2(bytes)) - 3);
  return Math.ceil(bytes / step) * step;
}
