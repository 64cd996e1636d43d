// Memory that a kernel needs while it runs.
import type { Runtime } from './runtime.js';

export class Temporaries {
  private readonly addresses: number[] = [];
  private readonly mark: number | undefined;

  constructor(private readonly runtime: Runtime) {
    this.mark = runtime.recorder?.mark;
  }

  /** The address of a block that lives until release(). */
  allocate(bytes: number): number {
    const { recorder } = this.runtime;
    if (recorder) return recorder.allocate(bytes);
    const address = this.runtime.allocate(bytes);
    this.addresses.push(address);
    return address;
  }

  release(): void {
    if (this.mark !== undefined) this.runtime.recorder?.releaseTo(this.mark);
    for (const address of this.addresses) this.runtime.release(address);
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
