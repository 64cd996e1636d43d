// Pinned host memory that the GPU can access, outside JavaScript's heap.
import type { SharedBlock } from './device.js';
import type { Driver } from './driver.js';
import { viewer } from './native.js';

const MAPPED = 2;

/** @param mapped accessible to kernels; else used for copies only */
export type AllocateHost = (bytes: number, mapped?: boolean) => SharedBlock;

export async function hostAllocator(driver: Driver): Promise<AllocateHost> {
  const view = await viewer();
  return (bytes, mapped = false) => {
    const handles = new BigUint64Array(16);
    driver.call('cuMemHostAlloc', 'allocating', handles, bytes, mapped ? MAPPED : 0);
    const address = handles[0] ?? 0n;
    return {
      address: Number(address),
      bytes: view(address, bytes),
      free: () => driver.call('cuMemFreeHost', 'freeing memory', address),
    };
  };
}
