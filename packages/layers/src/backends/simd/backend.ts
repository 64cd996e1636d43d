// SimdBackend: tfjs's CPU backend whose tensors may live in the kernels' memory.
//
// What the kernels make lives there as views, so that stock CPU kernels read it like any array; what
// other kernels make moves there when a kernel first reads it. Whoever asks for values gets a copy.

import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import type { Runtime } from './runtime.js';

type TensorData = ReturnType<MathBackendCPU['data']['get']>;
type Values = tf.BackendValues;

/** The data of a tensor inside the kernels' memory. The view is made when somebody wants it. */
class MemoryData implements TensorData {
  refCount = 1;
  private view: Float32Array | Int32Array | undefined;

  constructor(
    private readonly runtime: Runtime,
    readonly address: number,
    private readonly length: number,
    readonly dtype: 'float32' | 'int32',
  ) {}

  get values(): Float32Array | Int32Array {
    this.view ??=
      this.dtype === 'float32'
        ? this.runtime.floats(this.address, this.length)
        : this.runtime.ints(this.address, this.length);
    return this.view;
  }
}

export class SimdBackend extends MathBackendCPU {
  private dataIds = 0;

  constructor(readonly runtime: Runtime) {
    super();
  }

  /** A tensor of uninitialised values in the kernels' memory, and its address. */
  allocate(
    shape: readonly number[],
    dtype: 'float32' | 'int32' = 'float32',
  ): { info: tf.TensorInfo; address: number } {
    const size = tf.util.sizeFromShape([...shape]);
    const address = this.runtime.allocate(size * 4);
    return { info: this.adopt(address, shape, dtype), address };
  }

  /** A tensor of a block that the caller allocated; from now on it is the tensor's. */
  adopt(address: number, shape: readonly number[], dtype: 'float32' | 'int32'): tf.TensorInfo {
    const size = tf.util.sizeFromShape([...shape]);
    const dataId = this.newDataId();
    this.data.set(dataId, new MemoryData(this.runtime, address, size, dtype));
    return { dataId, shape: [...shape], dtype };
  }

  /** Where a float32 or int32 tensor stands in the kernels' memory; moves it there if need be. */
  address(tensor: tf.TensorInfo): number {
    const data = this.data.get(tensor.dataId);
    if (data instanceof MemoryData) return data.address;
    const { values, dtype } = data;
    const isFloat = dtype === 'float32';
    if ((!isFloat && dtype !== 'int32') || values === undefined || !('length' in values)) {
      throw new BackendError(`the kernels of 'simd' take float32 and int32, not ${dtype}`);
    }
    const address = this.runtime.allocate(values.length * 4);
    const moved = new MemoryData(this.runtime, address, values.length, isFloat ? dtype : 'int32');
    // float32 and int32 tensors hold numbers, never strings or bytes of strings.
    moved.values.set(values as ArrayLike<number>);
    moved.refCount = data.refCount;
    this.data.set(tensor.dataId, moved);
    return address;
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

  override move(
    dataId: tf.DataId,
    values: Values,
    _shape: number[],
    dtype: tf.DataType,
    refCount: number,
  ): void {
    // Some CPU kernels return a part of their input; its memory may serve others before this tensor ends.
    const own = ArrayBuffer.isView(values) && this.isInMemory(values) ? values.slice() : values;
    this.data.set(dataId, { values: own, dtype, refCount });
  }

  override readSync(dataId: tf.DataId): Values {
    const data = this.data.get(dataId);
    return data instanceof MemoryData ? data.values.slice() : super.readSync(dataId);
  }

  override disposeData(dataId: tf.DataId, force = false): boolean {
    if (!this.data.has(dataId)) return true;
    const data = this.data.get(dataId);
    const gone = super.disposeData(dataId, force);
    if (gone && data instanceof MemoryData) this.runtime.release(data.address);
    return gone;
  }

  override memory(): { unreliable: boolean; reasons: string[] } {
    return { unreliable: false, reasons: [] };
  }

  override dispose(): void {
    this.runtime.dispose();
  }

  private isInMemory(values: ArrayBufferView): boolean {
    return values.buffer === this.runtime.memory.buffer || isShared(values.buffer);
  }

  private newDataId(): tf.DataId {
    return { id: ++this.dataIds };
  }
}

/** Views made before the memory grew stand on another buffer object of the same memory. */
function isShared(buffer: ArrayBufferLike): boolean {
  return typeof SharedArrayBuffer !== 'undefined' && buffer instanceof SharedArrayBuffer;
}

/** The backend that a kernel was called with. */
export function asSimd(backend: unknown): SimdBackend {
  if (backend instanceof SimdBackend) return backend;
  throw new BackendError("a kernel of the backend 'simd' was run on another backend");
}
