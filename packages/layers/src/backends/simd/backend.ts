// SimdBackend: a tfjs backend whose tensors are in the kernels' WebAssembly memory.
//
// tfjs's CPU kernels read tensors as views of that memory. `data()` and `dataSync()` return copies.
import type * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import { NativeBackend, type NumberType, type Values } from '../native/backend.js';
import type { CoreOps } from '../native/core/core_ops.js';
import { simdCoreOps } from './core/core_ops.js';
import { SimdOps } from './ops.js';
import type { Runtime } from './runtime.js';

export class SimdBackend extends NativeBackend<SimdOps> {
  readonly core: CoreOps;

  constructor(readonly runtime: Runtime) {
    super(new SimdOps(runtime));
    this.core = simdCoreOps(runtime);
  }

  override valuesAt(address: number, length: number, dtype: NumberType): Float32Array | Int32Array {
    const { runtime } = this;
    return dtype === 'float32' ? runtime.floats(address, length) : runtime.ints(address, length);
  }

  override move(
    dataId: tf.DataId,
    values: Values,
    _shape: number[],
    dtype: tf.DataType,
    refCount: number,
  ): void {
    // Some CPU kernels return a view of their input, whose memory may be reused before this tensor is
    // disposed.
    const own = ArrayBuffer.isView(values) && this.isInMemory(values) ? values.slice() : values;
    this.data.set(dataId, { values: own, dtype, refCount });
  }

  override readSync(dataId: tf.DataId): Values {
    const values = super.readSync(dataId);
    return ArrayBuffer.isView(values) && this.isInMemory(values) ? values.slice() : values;
  }

  override dispose(): void {
    this.runtime.dispose();
  }

  private isInMemory(values: ArrayBufferView): boolean {
    return values.buffer === this.runtime.memory.buffer || isShared(values.buffer);
  }
}

/** A view made before the memory grew has another buffer object of the same memory. */
function isShared(buffer: ArrayBufferLike): boolean {
  return typeof SharedArrayBuffer !== 'undefined' && buffer instanceof SharedArrayBuffer;
}

/** The backend that a kernel was called with. @throws BackendError for another one */
export function asSimd(backend: unknown): SimdBackend {
  if (backend instanceof SimdBackend) return backend;
  throw new BackendError("a kernel of the backend 'simd' was run on another backend");
}
