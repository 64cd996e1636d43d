// Memory that a kernel needs while it runs.
import type { Runtime } from './runtime.js';

export class Temporaries {
  private readonly addresses: number[] = [];

  constructor(private readonly runtime: Runtime) {}

  /** The address of a block that lives until release(). */
  allocate(bytes: number): number {
    const address = this.runtime.pool.allocate(bytes);
    this.addresses.push(address);
    return address;
  }

  release(): void {
    for (const address of this.addresses) this.runtime.pool.release(address);
    this.addresses.length = 0;
  }
}

/** Calls `work` with temporaries that are released when it returns or throws. */
export function withTemporaries<T>(runtime: Runtime, work: (temporaries: Temporaries) => T): T {
  const temporaries = new Temporaries(runtime);
  try {
    return work(temporaries);
  } finally {
    temporaries.release();
  }
}
