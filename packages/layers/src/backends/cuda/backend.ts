// CudaBackend: tfjs's CPU backend whose tensors may live on the GPU.
//
// What our kernels make stays there; a tfjs op without a CUDA kernel reads it through the host, and
// what it makes moves to the GPU when one of our kernels first reads it.
import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import type { KernelTensors } from './kernel.js';
import type { CudaRuntime } from './runtime.js';

type TensorData = ReturnType<MathBackendCPU['data']['get']>;
type Values = tf.BackendValues;

/** The data of a tensor on the GPU. Its values are copied when somebody on the host reads them. */
class DeviceData implements TensorData {
  refCount = 1;

  constructor(
    private readonly runtime: CudaRuntime,
    readonly address: number,
    private readonly length: number,
    readonly dtype: 'float32' | 'int32',
  ) {}

  get values(): Float32Array | Int32Array {
    const values =
      this.dtype === 'float32' ? new Float32Array(this.length) : new Int32Array(this.length);
    if (this.length > 0) this.runtime.device.download(new Uint8Array(values.buffer), this.address);
    return values;
  }
}

export class CudaBackend extends MathBackendCPU implements KernelTensors {
  private dataIds = 0;

  constructor(readonly runtime: CudaRuntime) {
    super();
  }

  /** A tensor of uninitialised values on the GPU, and its address. */
  allocate(
    shape: readonly number[],
    dtype: 'float32' | 'int32' = 'float32',
  ): { info: tf.TensorInfo; address: number } {
    const size = tf.util.sizeFromShape([...shape]);
    const address = this.runtime.pool.allocate(size * 4);
    return { info: this.adopt(address, shape, dtype), address };
  }

  /** A tensor of a block that the caller allocated; from now on it is the tensor's. */
  adopt(address: number, shape: readonly number[], dtype: 'float32' | 'int32'): tf.TensorInfo {
    const size = tf.util.sizeFromShape([...shape]);
    const dataId = this.newDataId();
    this.data.set(dataId, new DeviceData(this.runtime, address, size, dtype));
    return { dataId, shape: [...shape], dtype };
  }

  /** Where a float32 or int32 tensor stands on the GPU; moves it there if need be. */
  address(tensor: tf.TensorInfo): number {
    const data = this.data.get(tensor.dataId);
    if (data instanceof DeviceData) return data.address;
    const { values, dtype } = data;
    const isFloat = dtype === 'float32';
    if ((!isFloat && dtype !== 'int32') || values === undefined || !('length' in values)) {
      throw new BackendError(`the kernels of 'cuda' take float32 and int32, not ${dtype}`);
    }
    const numbers = values as ArrayLike<number>; // float32 and int32 tensors hold nothing else
    const typed = isFloat ? Float32Array.from(numbers) : Int32Array.from(numbers);
    const address = this.runtime.pool.allocate(typed.byteLength);
    if (typed.length > 0) this.runtime.device.upload(address, new Uint8Array(typed.buffer));
    const moved = new DeviceData(this.runtime, address, typed.length, isFloat ? dtype : 'int32');
    moved.refCount = data.refCount;
    this.data.set(tensor.dataId, moved);
    return address;
  }

  /** Whether a tensor's values are on the GPU already. */
  isOnDevice(tensor: tf.TensorInfo): boolean {
    return this.data.get(tensor.dataId) instanceof DeviceData;
  }

  /** Whether a kernel may write into this tensor: nobody else holds its memory. */
  isSoleOwner(tensor: tf.TensorInfo): boolean {
    return this.refCount(tensor.dataId) === 1;
  }

  override write(values: Values, shape: number[], dtype: tf.DataType): tf.DataId {
    const dataId = this.newDataId();
    this.move(dataId, values, shape, dtype, 1);
    return dataId;
  }

  override readSync(dataId: tf.DataId): Values {
    const data = this.data.get(dataId);
    return data instanceof DeviceData ? data.values : super.readSync(dataId);
  }

  override disposeData(dataId: tf.DataId, force = false): boolean {
    if (!this.data.has(dataId)) return true;
    const data = this.data.get(dataId);
    const gone = super.disposeData(dataId, force);
    if (gone && data instanceof DeviceData) this.runtime.pool.release(data.address);
    return gone;
  }

  override memory(): { unreliable: boolean; reasons: string[] } {
    return { unreliable: false, reasons: [] };
  }

  override dispose(): void {
    this.runtime.dispose();
  }

  private newDataId(): tf.DataId {
    return { id: ++this.dataIds };
  }
}

/** The backend that a kernel was called with. */
export function asCuda(backend: unknown): CudaBackend {
  if (backend instanceof CudaBackend) return backend;
  throw new BackendError("a kernel of the backend 'cuda' was run on another backend");
}
