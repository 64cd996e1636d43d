// Memory of the host's that the GPU reaches by itself: pinned, outside JavaScript's.
import type { SharedBlock } from './device.js';
import type { Driver } from './driver.js';
import { viewer } from './native.js';

const MAPPED = 2;

/** @param mapped for kernels to read and write; else for copies */
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
