// Products of many rows by cuBLASLt, where the device has it; own kernels do what it leaves.
import { withTemporaries } from '../native/memory.js';
import { type Product, WORKSPACE_BYTES } from './cublas_lt.js';
import type { Runtime } from './runtime.js';

/** y = x w^T (+ residual); false where there is no library, or it cannot, and nothing was done. */
export function multiplyByLibrary(runtime: Runtime, product: Product): boolean {
  const { device } = runtime;
  if (!device.hasProductLibrary) return false;
  return withTemporaries(runtime.pool, (temporaries) =>
    device.multiply(product, temporaries.allocate(WORKSPACE_BYTES)),
  );
}
