// One run of one of our ops inside TensorFlow. TensorFlow owns its inputs, outputs and temporaries.
import type * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import type { CudaDevice } from '../cuda/cuda_device.js';
import type { KernelCall } from '../cuda/device.js';
import { CudaOps } from '../cuda/ops.js';
import type { Runtime } from '../cuda/runtime.js';
import type { NativeTensors, Output } from '../native/kernel.js';
import { type TensorflowApi, TF_FLOAT, TF_INT32 } from './c_api.js';

/** The op's attribute `call`: which inputs are present, and the kernel's attributes. */
export interface CallDescription {
  /** Names of the present inputs, in order. */
  given: string[];
  /** Whether the states are overwritten. Then they are not outputs. */
  inPlace: boolean;
  attrs: object;
}

/** CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL */
const DEVICE_ORDINAL = 9;

/** The device that TensorFlow uses, and the memory of the running op. */
export class TensorflowRuntime implements Runtime {
  private isChecked = false;
  /** The running op. */
  call: OpCall | undefined;
  readonly ops = new CudaOps(this);
  readonly pool = {
    allocate: (bytes: number): number => this.running().allocateBytes(bytes),
    release: (address: number): void => this.running().release(address),
  };

  constructor(
    readonly api: TensorflowApi,
    readonly device: CudaDevice,
  ) {}

  launch(...call: KernelCall): void {
    this.device.launch(...call);
  }

  /** Checks once that TensorFlow's memory is on our GPU. @throws BackendError if it is not */
  checkDevice(address: number): void {
    const { driver, ordinal } = this.device;
    if (this.isChecked || address === 0 || !driver.has('cuPointerGetAttribute')) return;
    const found = new Int32Array(32);
    driver.call('cuPointerGetAttribute', "TensorFlow's memory", found, DEVICE_ORDINAL, address);
    if (found[0] !== ordinal) {
      throw new BackendError(
        `TensorFlow uses GPU ${found[0]}, our kernels use GPU ${ordinal}: set ` +
          'CUDA_VISIBLE_DEVICES to one GPU',
      );
    }
    this.isChecked = true;
  }

  private running(): OpCall {
    if (this.call) return this.call;
    throw new BackendError('temporary memory of TensorFlow is available only while an op runs');
  }
}

/** A tensor handle of TensorFlow, which we must delete, and its address. */
interface Held {
  tensor: number;
  address: number;
}

type Input = tf.TensorInfo & Pick<tf.Tensor, 'rank' | 'size'>;

export class OpCall implements NativeTensors<CudaOps> {
  /** By input name, as kernels take them. */
  readonly inputs: tf.NamedTensorInfoMap = {};
  private readonly inputIds = new Set<tf.DataId>();
  private readonly held = new Map<tf.DataId, Held>();
  private readonly temporaries = new Map<number, number>();
  private readonly out = new BigUint64Array(16);
  private readonly dims = new BigInt64Array(16);

  constructor(
    private readonly runtime: TensorflowRuntime,
    /** TF_OpKernelContext */
    private readonly context: number,
    private readonly description: CallDescription,
  ) {}

  get ops(): CudaOps {
    return this.runtime.ops;
  }

  /** Gets the inputs from TensorFlow. */
  open(): void {
    this.description.given.forEach((name, i) => {
      const { tensor, info } = this.input(i);
      this.inputs[name] = info;
      this.inputIds.add(info.dataId);
      const address = this.runtime.api.call('TF_TensorData', tensor);
      this.held.set(info.dataId, { tensor, address });
      this.runtime.checkDevice(address);
    });
  }

  /** The values of the last, int32 input in host memory, if there is one. */
  integers(): number[] {
    const { api } = this.runtime;
    const at = this.description.given.length;
    if (api.call('TF_NumInputs', this.context) <= at) return [];
    const { tensor, info } = this.input(at);
    try {
      const [count = 0] = info.shape;
      if (count === 0) return [];
      return api.hostIntegers(api.call('TF_TensorData', tensor), count);
    } finally {
      api.call('TF_DeleteTensor', tensor);
    }
  }

  allocate(shape: readonly number[], dtype: 'float32' | 'int32' = 'float32'): Output {
    const tensor = this.newTensor(shape, dtype === 'float32' ? TF_FLOAT : TF_INT32);
    const address = this.runtime.api.call('TF_TensorData', tensor);
    const info = { dataId: {}, shape: [...shape], dtype };
    this.held.set(info.dataId, { tensor, address });
    return { info, address };
  }

  address({ dataId }: tf.TensorInfo): number {
    const held = this.held.get(dataId);
    if (held) return held.address;
    throw new BackendError('a kernel used a tensor that does not belong to its op');
  }

  isSoleOwner(): boolean {
    return this.description.inPlace;
  }

  /** TensorFlow has its own reference counts. */
  incRef(): void {}

  allocateBytes(bytes: number): number {
    const tensor = this.newTensor([Math.ceil(bytes / 4)], TF_FLOAT);
    const address = this.runtime.api.call('TF_TensorData', tensor);
    this.temporaries.set(address, tensor);
    return address;
  }

  release(address: number): void {
    const tensor = this.temporaries.get(address);
    if (tensor === undefined) return;
    this.temporaries.delete(address);
    this.runtime.api.call('TF_DeleteTensor', tensor);
  }

  /** Sets the op's outputs from what the kernel returned. States that were updated in place are inputs. */
  setOutputs(outputs: readonly tf.TensorInfo[]): void {
    let at = 0;
    for (const { dataId } of outputs) {
      const held = this.held.get(dataId);
      if (!held || this.inputIds.has(dataId)) continue;
      this.runtime.api.checked('an output', 'TF_SetOutput', this.context, at++, held.tensor);
    }
  }

  /** Deletes all handles. Outputs stay alive in TensorFlow. */
  close(): void {
    const { api } = this.runtime;
    for (const { tensor } of this.held.values()) api.call('TF_DeleteTensor', tensor);
    for (const tensor of this.temporaries.values()) api.call('TF_DeleteTensor', tensor);
    this.held.clear();
    this.temporaries.clear();
  }

  private input(i: number): { tensor: number; info: Input } {
    const { api } = this.runtime;
    api.checked(`input ${i}`, 'TF_GetInput', this.context, i, this.out);
    const tensor = Number(this.out[0]);
    const rank = api.call('TF_NumDims', tensor);
    const shape = Array.from({ length: rank }, (_, axis) => api.call('TF_Dim', tensor, axis));
    const dtype = api.call('TF_TensorType', tensor) === TF_INT32 ? 'int32' : 'float32';
    // Kernels expect tensors with rank and size.
    const size = shape.reduce((product, axis) => product * axis, 1);
    return { tensor, info: { dataId: {}, shape, dtype, rank, size } };
  }

  private newTensor(shape: readonly number[], type: number): number {
    shape.forEach((size, axis) => {
      this.dims[axis] = BigInt(size);
    });
    const name = 'TF_AllocateTemp';
    const { api } = this.runtime;
    const rest = [type, this.dims, shape.length, deviceMemory] as const;
    return api.checked('allocating', name, this.context, ...rest);
  }
}

/** A TF_AllocatorAttributes: its size, then on_host = 0. */
const deviceMemory = new Uint8Array(128);
deviceMemory[0] = 9;
