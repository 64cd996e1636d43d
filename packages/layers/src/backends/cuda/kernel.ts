// How a kernel of this backend is written down.
import * as tf from '@tensorflow/tfjs-core';
import type { KernelAttrs, KernelInputs, KernelName } from '../../kernel_names.js';
import type { Runtime } from './runtime.js';

export const BACKEND_NAME = 'cuda';

/** What a kernel asks of whoever holds its tensors: CudaBackend, or TensorFlow (../tensorflow/). */
export interface KernelTensors {
  readonly runtime: Runtime;
  /** An output of uninitialised values, and its address. */
  allocate(
    shape: readonly number[],
    dtype?: 'float32' | 'int32',
  ): { info: tf.TensorInfo; address: number };
  /** Where a float32 or int32 tensor stands on the GPU. */
  address(tensor: tf.TensorInfo): number;
  /** Whether a kernel may write into this tensor: nobody else holds its memory. */
  isSoleOwner(tensor: tf.TensorInfo): boolean;
  /** For an input that is handed out as an output too. */
  incRef(dataId: tf.DataId): void;
}

/** A kernel: tensors in, tensor infos out, whoever holds them. */
export interface CudaKernel {
  readonly kernelName: KernelName;
  run(
    inputs: tf.NamedTensorInfoMap,
    attrs: object | undefined,
    tensors: KernelTensors,
  ): tf.TensorInfo | tf.TensorInfo[];
}

/** A custom kernel of ours. */
export function cudaKernel<K extends KernelName>(
  kernelName: K,
  run: (
    inputs: KernelInputs<K>,
    attrs: KernelAttrs<K>,
    tensors: KernelTensors,
  ) => tf.TensorInfo | tf.TensorInfo[],
): CudaKernel {
  return {
    kernelName,
    // tfjs types what a kernel gets as maps of anything; Kernels says what they hold.
    run: (inputs, attrs, tensors) =>
      run(inputs as KernelInputs<K>, attrs as KernelAttrs<K>, tensors),
  };
}

/** The address of an input that need not be there; 0 where it is not, or only a placeholder. */
export function optionalAddress(backend: KernelTensors, tensor: tf.TensorInfo | undefined): number {
  return isGiven(tensor) ? backend.address(tensor) : 0;
}

export function isGiven(tensor: tf.TensorInfo | undefined): tensor is tf.TensorInfo {
  return tensor !== undefined && tf.util.sizeFromShape(tensor.shape) > 0;
}

/**
 * Where a state goes: into its own memory if nobody else holds it and no gradient is being recorded,
 * else into a new tensor. Returns it as an output (counted), and its address.
 */
export function stateOutput(
  backend: KernelTensors,
  state: tf.TensorInfo | undefined,
  shape: readonly number[],
): { info: tf.TensorInfo; address: number } {
  if (isGiven(state) && canOverwrite(backend, state)) {
    backend.incRef(state.dataId);
    return { info: { ...pick(state), shape: [...shape] }, address: backend.address(state) };
  }
  return backend.allocate(shape);
}

/** Whether a kernel may write into an input that its caller replaces by the output. */
export function canOverwrite(backend: KernelTensors, tensor: tf.TensorInfo): boolean {
  return backend.isSoleOwner(tensor) && tf.engine().state.gradientDepth === 0;
}

function pick({ dataId, shape, dtype }: tf.TensorInfo): tf.TensorInfo {
  return { dataId, shape, dtype };
}
