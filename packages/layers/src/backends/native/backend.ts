// A tfjs CPU backend whose tensors may live in the memory of native kernels.
//
// Outputs of native kernels stay there; a stock CPU kernel reads them through the host. What other kernels
// make moves there when a native kernel first reads it.
import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import type * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import type { Address } from './address.js';
import type { NativeTensors, Output } from './kernel.js';
import type { NativeOps } from './ops.js';
import { sizeOf } from './sizes.js';

type TensorData = ReturnType<MathBackendCPU['data']['get']>;
export type Values = tf.BackendValues;
export type NumberType = 'float32' | 'int32';

interface HostView {
  /** The numbers at an address, which a host kernel reads. */
  valuesAt(address: Address, length: number, dtype: NumberType): Float32Array | Int32Array;
}

/** The data of a tensor in native memory. */
class NativeData implements TensorData {
  refCount = 1;

  constructor(
    private readonly memory: HostView,
    readonly address: Address,
    private readonly length: number,
    readonly dtype: NumberType,
  ) {}

  /** For kernels that run on the host. */
  get values(): Float32Array | Int32Array {
    return this.memory.valuesAt(this.address, this.length, this.dtype);
  }
}

export abstract class NativeBackend<Ops extends NativeOps>
  extends MathBackendCPU
  implements NativeTensors<Ops>, HostView
{
  private dataIds = 0;

  constructor(readonly ops: Ops) {
    super();
  }

  abstract valuesAt(address: Address, length: number, dtype: NumberType): Float32Array | Int32Array;

  allocate(shape: readonly number[], dtype: NumberType = 'float32'): Output {
    const address = this.ops.blocks.allocate(sizeOf(shape) * 4);
    return { info: this.adopt(address, shape, dtype), address };
  }

  /** Makes a tensor of a block that the caller allocated. The tensor owns the block from now on. */
  adopt(address: Address, shape: readonly number[], dtype: NumberType): tf.TensorInfo {
    const dataId = this.newDataId();
    this.data.set(dataId, new NativeData(this, address, sizeOf(shape), dtype));
    return { dataId, shape: [...shape], dtype };
  }

  /** The address of a float32 or int32 tensor; moves it to native memory if need be. */
  address(tensor: tf.TensorInfo): Address {
    const data = this.data.get(tensor.dataId);
    if (data instanceof NativeData) return data.address;
    const { values, dtype } = data;
    if ((dtype !== 'float32' && dtype !== 'int32') || !values || !('length' in values)) {
      const { backendName } = this.ops;
      throw new BackendError(
        `the kernels of '${backendName}' take float32 and int32, not ${dtype}`,
      );
    }
    const numbers = typed(values, dtype);
    const address = this.ops.blocks.allocate(numbers.byteLength);
    const { buffer, byteOffset, byteLength } = numbers;
    if (byteLength > 0) this.ops.upload(address, new Uint8Array(buffer, byteOffset, byteLength));
    const moved = new NativeData(this, address, numbers.length, dtype);
    moved.refCount = data.refCount;
    this.data.set(tensor.dataId, moved);
    return address;
  }

  /** Whether a tensor's values are in native memory. */
  isNative(tensor: tf.TensorInfo): boolean {
    return this.data.get(tensor.dataId) instanceof NativeData;
  }

  isSoleOwner(tensor: tf.TensorInfo): boolean {
    return this.refCount(tensor.dataId) === 1;
  }

  override write(values: Values, shape: number[], dtype: tf.DataType): tf.DataId {
    const dataId = this.newDataId();
    this.move(dataId, values, shape, dtype, 1);
    return dataId;
  }

  override disposeData(dataId: tf.DataId, force = false): boolean {
    if (!this.data.has(dataId)) return true;
    const data = this.data.get(dataId);
    const isGone = super.disposeData(dataId, force);
    if (isGone && data instanceof NativeData) this.ops.blocks.release(data.address);
    return isGone;
  }

  override memory(): { unreliable: boolean; reasons: string[] } {
    return { unreliable: false, reasons: [] };
  }

  override readSync(dataId: tf.DataId): Values {
    const data = this.data.get(dataId);
    return data instanceof NativeData ? data.values : super.readSync(dataId);
  }

  private newDataId(): tf.DataId {
    return { id: ++this.dataIds };
  }
}

/** float32 and int32 tensors hold numbers only. */
function typed(values: ArrayLike<unknown>, dtype: NumberType): Float32Array | Int32Array {
  const numbers = values as ArrayLike<number>;
  if (dtype === 'float32') {
    return numbers instanceof Float32Array ? numbers : Float32Array.from(numbers);
  }
  return numbers instanceof Int32Array ? numbers : Int32Array.from(numbers);
}
