// Kernels of tfjs's own ops: ours where the tensors fit, else the CPU backend's.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../../errors.js';
import { asSimd, type SimdBackend } from '../backend.js';
import { BACKEND_NAME } from '../ops.js';

/** Inputs by name; tfjs's own types of them allow each to be missing. */
export type Tensors<Names extends string> = Record<Names, tf.TensorInfo>;

type Output = tf.TensorInfo | tf.TensorInfo[];

/**
 * A kernel that may decline: where `run` returns undefined, tfjs's CPU kernel of that name does it.
 * `run` gets the inputs as they are and the attributes as tfjs passes them.
 */
export function coreKernel<Inputs, Attrs>(
  kernelName: string,
  run: (inputs: Inputs, attrs: Attrs, backend: SimdBackend) => Output | undefined,
): tf.KernelConfig {
  return {
    kernelName,
    backendName: BACKEND_NAME,
    kernelFunc: (params) => {
      // tfjs types what a kernel gets as maps of anything; its kernel_names say what they hold.
      const inputs = params.inputs as Inputs;
      const attrs = params.attrs as Attrs;
      return run(inputs, attrs, asSimd(params.backend)) ?? cpuKernel(kernelName)(params);
    },
  };
}

function cpuKernel(kernelName: string): tf.KernelFunc {
  const kernel = tf.getKernel(kernelName, 'cpu');
  if (!kernel) throw new BackendError(`tfjs's CPU backend has no kernel ${kernelName}`);
  return kernel.kernelFunc;
}

export function isFloat(...tensors: tf.TensorInfo[]): boolean {
  return tensors.every(({ dtype, shape }) => dtype === 'float32' && sizeOf(shape) > 0);
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
