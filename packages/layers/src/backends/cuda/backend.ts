// CudaBackend: a tfjs backend whose tensors are in GPU memory.
//
// A tfjs op without a CUDA kernel reads them through the host on each call.
import { BackendError } from '../../errors.js';
import { NativeBackend, type NumberType } from '../native/backend.js';
import type { CoreOps } from '../native/core/core_ops.js';
import { cudaCoreOps } from './core_ops.js';
import { CudaOps } from './ops.js';
import type { CudaRuntime } from './runtime.js';

export class CudaBackend extends NativeBackend<CudaOps> {
  readonly core: CoreOps;

  constructor(readonly runtime: CudaRuntime) {
    super(new CudaOps(runtime));
    this.core = cudaCoreOps(runtime);
  }

  override valuesAt(address: number, length: number, dtype: NumberType): Float32Array | Int32Array {
    const values = dtype === 'float32' ? new Float32Array(length) : new Int32Array(length);
    if (length > 0) this.runtime.device.download(new Uint8Array(values.buffer), address);
    return values;
  }

  override dispose(): void {
    this.runtime.dispose();
  }
}

/** The backend that a kernel was called with. @throws BackendError for another one */
export function asCuda(backend: unknown): CudaBackend {
  if (backend instanceof CudaBackend) return backend;
  throw new BackendError("a kernel of the backend 'cuda' was run on another backend");
}
