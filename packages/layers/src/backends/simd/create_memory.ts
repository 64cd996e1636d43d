// Reserves the kernels' memory: as much as the platform allows.
import { BackendError } from '../../errors.js';
import { memoryAdvice } from './platform.js';
import { type WasmMemory, webAssembly } from './webassembly.js';

const INITIAL_PAGES = 16;
const PAGES_PER_GIB = 16384;
/** WebAssembly addresses end at 4 GiB. Phones and address space limits (ulimit -v) may allow less. */
const MAXIMUM_GIB = [4, 3, 2, 1, 0.5, 0.25];

/**
 * A memory that can grow to 4 GiB, or to less (with a notice) if that is refused.
 *
 * @throws BackendError if the minimum is refused
 */
export function createMemory(): { memory: WasmMemory; maximumPages: number } {
  let cause: unknown;
  for (const gib of MAXIMUM_GIB) {
    const maximum = gib * PAGES_PER_GIB;
    try {
      const memory = new webAssembly.Memory({ initial: INITIAL_PAGES, maximum, shared: true });
      if (cause !== undefined) {
        console.warn(`simd: the platform refuses 4 GiB of shared memory; using up to ${gib} GiB`);
      }
      return { memory, maximumPages: maximum };
    } catch (error) {
      cause = error;
    }
  }
  throw new BackendError(
    `the backend 'simd' cannot reserve address space for its memory. ${memoryAdvice}`,
    { cause },
  );
}
