// Errors of a GPU that runs out of memory or goes away.
import { BackendError } from '../../errors.js';

/** The GPU has no room for a buffer. */
export class GpuOutOfMemoryError extends BackendError {
  /** @param bytes of the buffer, where they are known */
  constructor(bytes: number | undefined, why: string) {
    const buffer = bytes === undefined ? 'a buffer' : `a buffer of ${megabytes(bytes)}`;
    super(
      `the backend 'webgpu' has no GPU memory for ${buffer} (${why}): ` +
        'load the model in a smaller dtype (int8 or int4), run fewer or shorter sequences at a time, or ' +
        "use the backend 'simd'",
    );
  }
}

/** The GPU, its driver or the browser has taken the device away. Its tensors are gone. */
export class GpuDeviceLostError extends BackendError {
  constructor(reason: string) {
    super(
      `the GPU of the backend 'webgpu' was lost (${reason}): load the model again, in a smaller dtype ` +
        "if memory was short, or use the backend 'simd'",
    );
  }
}

export function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
