// Matmuls of many rows with cuBLASLt, if the device has it. Our kernels compute the others.
import { withTemporaries } from '../native/memory.js';
import { WORKSPACE_BYTES } from './cublas_lt.js';
import type { Gemm } from './gemm.js';
import type { Runtime } from './runtime.js';

/** False without cuBLASLt, or if it has no algorithm for the shape; then nothing was computed. */
export function cublasLtMatmul(runtime: Runtime, gemm: Gemm): boolean {
  const { device } = runtime;
  if (!device.hasCublasLt) return false;
  return withTemporaries(runtime.pool, (temporaries) =>
    device.gemm(gemm, temporaries.allocate(WORKSPACE_BYTES)),
  );
}
