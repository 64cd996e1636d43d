// Blocks of a backend's memory, and temporaries that live as long as one call.
import type { Address } from './address.js';

export interface BlockAllocator {
  /** Allocates a block of uninitialised bytes. */
  allocate(bytes: number): Address;
  /** Frees a block. Launches that were issued before may still use it. */
  release(address: Address): void;
}

export class Temporaries {
  private readonly addresses: Address[] = [];

  constructor(private readonly allocator: BlockAllocator) {}

  allocate(bytes: number): Address {
    const address = this.allocator.allocate(bytes);
    this.addresses.push(address);
    return address;
  }

  /** Frees the blocks in reverse order, since an allocator may be a stack. */
  release(): void {
    for (const address of this.addresses.reverse()) this.allocator.release(address);
    this.addresses.length = 0;
  }
}

/** Calls `work` with temporaries that are freed when it returns or throws. */
export function withTemporaries<T>(
  allocator: BlockAllocator,
  work: (temporaries: Temporaries) => T,
): T {
  const temporaries = new Temporaries(allocator);
  try {
    return work(temporaries);
  } finally {
    temporaries.release();
  }
}
