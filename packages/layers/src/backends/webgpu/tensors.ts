// The tensors of tfjs's WebGPU backend as the kernels of ../native/ see them.
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import type { Address } from '../native/address.js';
import type { NativeTensors, Output } from '../native/kernel.js';
import { describeAdapter } from './device.js';
import { WebGpuOps } from './ops.js';
import { WebGpuRuntime } from './runtime.js';

type DataId = Parameters<WebGPUBackend['incRef']>[0];

export class WebGpuTensors implements NativeTensors<WebGpuOps> {
  readonly ops: WebGpuOps;
  /** Blocks of ours that tensors hold. */
  private readonly adopted = new Map<DataId, Address>();
  /** What the running kernel has made or taken a reference of. */
  private made: DataId[] | undefined;

  constructor(readonly kernelBackend: WebGPUBackend) {
    const backend = kernelBackend;
    const { device } = backend;
    const { isSoftware } = describeAdapter(device.adapterInfo);
    const runtime = new WebGpuRuntime(device, () => submitQueue(backend), isSoftware);
    this.ops = new WebGpuOps(runtime);
    // tfjs frees the buffers that it has made itself.
    const disposeData = backend.disposeData.bind(backend);
    backend.disposeData = (dataId, force) => {
      const isGone = disposeData(dataId, force);
      if (isGone) this.releaseAdopted(dataId);
      return isGone;
    };
    // A device reports errors of what it was given only later.
    const read = backend.read.bind(backend);
    backend.read = async (dataId) => {
      const { failures } = this.runtime;
      failures.throwIfLost();
      const values = await read(dataId).catch((cause) => failures.throwReason(cause));
      failures.throwFirst();
      return values;
    };
  }

  get runtime(): WebGpuRuntime {
    return this.ops.runtime;
  }

  /** In a block of ours: tfjs would keep a buffer of every size that there has been. */
  allocate(shape: readonly number[], dtype: 'float32' | 'int32' = 'float32'): Output {
    const size = tf.util.sizeFromShape([...shape]);
    if (size === 0) {
      const info = this.kernelBackend.makeTensorInfo([...shape], dtype);
      this.made?.push(info.dataId);
      return { info, address: this.runtime.emptyAddress };
    }
    const address = this.runtime.pool.allocateExact(size * 4);
    return { info: this.adopt(address, shape, dtype), address };
  }

  /** Makes a tensor of a block of its exact size. The tensor owns the block from now on. */
  adopt(address: Address, shape: readonly number[], dtype: 'float32' | 'int32'): tf.TensorInfo {
    const info = this.kernelBackend.makeTensorInfo([...shape], dtype);
    const data = this.kernelBackend.tensorMap.get(info.dataId);
    data.resource = this.runtime.buffers.at(address).buffer;
    data.external = true;
    this.adopted.set(info.dataId, address);
    this.made?.push(info.dataId);
    return info;
  }

  address({ dataId, shape }: tf.TensorInfo): Address {
    if (tf.util.sizeFromShape(shape) === 0) return this.runtime.emptyAddress;
    this.kernelBackend.uploadToGPU(dataId);
    const { resource } = this.kernelBackend.tensorMap.get(dataId);
    if (resource instanceof GPUBuffer) return this.runtime.buffers.addressOf(resource);
    throw new BackendError("the kernels of 'webgpu' take tensors in buffers, not textures");
  }

  isSoleOwner({ dataId }: tf.TensorInfo): boolean {
    return this.kernelBackend.refCount(dataId) === 1;
  }

  /** Called before a kernel writes into a tensor's memory. */
  incRef(dataId: DataId): void {
    this.kernelBackend.incRef(dataId);
    this.made?.push(dataId);
    this.kernelBackend.uploadToGPU(dataId);
    // tfjs keeps what it has read once.
    Object.assign(this.kernelBackend.tensorMap.get(dataId), { values: null });
  }

  /** Runs a kernel. If it throws, it leaves no outputs behind. */
  runKernel<T>(run: () => T): T {
    const made: DataId[] = [];
    this.made = made;
    try {
      return run();
    } catch (error) {
      for (const dataId of made) this.kernelBackend.disposeData(dataId);
      throw error;
    } finally {
      this.made = undefined;
    }
  }

  private releaseAdopted(dataId: DataId): void {
    const address = this.adopted.get(dataId);
    if (address === undefined) return;
    this.adopted.delete(dataId);
    submitQueue(this.kernelBackend);
    this.runtime.pool.destroy(address);
  }
}

const known = new WeakMap<WebGPUBackend, WebGpuTensors>();

/** The tensors of a backend. @throws BackendError for one that is not tfjs's WebGPU backend */
export function tensorsOf(backend: unknown): WebGpuTensors {
  if (!(backend instanceof WebGPUBackend)) {
    throw new BackendError("a kernel of the backend 'webgpu' was run on another backend");
  }
  let tensors = known.get(backend);
  if (!tensors) {
    tensors = new WebGpuTensors(backend);
    known.set(backend, tensors);
  }
  return tensors;
}

/** Submits what tfjs has encoded. */
function submitQueue(backend: WebGPUBackend): void {
  // tfjs's own, private: null while nothing has been encoded. An empty submission costs as much as a full one.
  if (Reflect.get(backend, 'commandEncoder') === null) return;
  backend.ensureCommandEncoderReady();
  backend.endComputePassEncoder();
  backend.submitQueue();
}
