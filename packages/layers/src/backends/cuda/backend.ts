// CudaBackend: a tfjs backend whose tensors live on the GPU.
//
// A tfjs op without a CUDA kernel reads them through the host.
import type * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import { NativeBackend, NativeData, type NumberType, type Values } from '../native/backend.js';
import type { CoreOps } from '../native/core/core_ops.js';
import { cudaCoreOps } from './core_ops.js';
import { CudaOps } from './ops.js';
import type { CudaRuntime } from './runtime.js';

/** The data of a tensor on the GPU. Its values are downloaded each time that the host reads them. */
class DeviceData extends NativeData {
  constructor(
    private readonly runtime: CudaRuntime,
    address: number,
    length: number,
    dtype: NumberType,
  ) {
    super(address, length, dtype);
  }

  get values(): Float32Array | Int32Array {
    const values =
      this.dtype === 'float32' ? new Float32Array(this.length) : new Int32Array(this.length);
    if (this.length > 0) this.runtime.device.download(new Uint8Array(values.buffer), this.address);
    return values;
  }
}

export class CudaBackend extends NativeBackend<CudaOps> {
  readonly core: CoreOps;

  constructor(readonly runtime: CudaRuntime) {
    super(new CudaOps(runtime));
    this.core = cudaCoreOps(runtime);
  }

  protected override newData(address: number, length: number, dtype: NumberType): NativeData {
    return new DeviceData(this.runtime, address, length, dtype);
  }

  override readSync(dataId: tf.DataId): Values {
    const data = this.data.get(dataId);
    return data instanceof DeviceData ? data.values : super.readSync(dataId);
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
