// How a kernel of this backend is written down and registered.
import * as tf from '@tensorflow/tfjs-core';
import type { KernelAttrs, KernelInputs, KernelName } from '../../kernel_names.js';
import { asCuda, type CudaBackend } from './backend.js';

export const BACKEND_NAME = 'cuda';

/** A custom kernel of ours: tensors in, tensor infos out. */
export function cudaKernel<K extends KernelName>(
  kernelName: K,
  run: (
    inputs: KernelInputs<K>,
    attrs: KernelAttrs<K>,
    backend: CudaBackend,
  ) => tf.TensorInfo | tf.TensorInfo[],
): tf.KernelConfig {
  return {
    kernelName,
    backendName: BACKEND_NAME,
    // tfjs types what a kernel gets as maps of anything; Kernels says what they hold.
    kernelFunc: ({ inputs, attrs, backend }) =>
      run(inputs as KernelInputs<K>, attrs as KernelAttrs<K>, asCuda(backend)),
  };
}

/** The address of an input that need not be there; 0 where it is not, or only a placeholder. */
export function optionalAddress(backend: CudaBackend, tensor: tf.TensorInfo | undefined): number {
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
  backend: CudaBackend,
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
export function canOverwrite(backend: CudaBackend, tensor: tf.TensorInfo): boolean {
  return backend.isSoleOwner(tensor) && tf.engine().state.gradientDepth === 0;
}

function pick({ dataId, shape, dtype }: tf.TensorInfo): tf.TensorInfo {
  return { dataId, shape, dtype };
}
