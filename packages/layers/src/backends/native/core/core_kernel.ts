// Kernels of tfjs's own ops: on the device where the tensors fit, else the CPU backend's.
import type * as tf from '@tensorflow/tfjs-core';
import type { Address } from '../address.js';
import type { NativeBackend } from '../backend.js';
import type { NativeOps } from '../ops.js';
import { sizeOf } from '../sizes.js';
import type { CoreOps } from './core_ops.js';

/** A native backend that has kernels of tfjs's own ops. */
export interface CoreBackend<Ops extends NativeOps = NativeOps> extends NativeBackend<Ops> {
  readonly core: CoreOps;
}

/** Inputs by name; tfjs's own types of them allow each to be missing. */
export type Tensors<Names extends string> = Record<Names, tf.TensorInfo>;

type Output = tf.TensorInfo | tf.TensorInfo[];

export interface CoreKernel<Backend extends CoreBackend = CoreBackend> {
  readonly kernelName: string;
  /** @returns undefined for a call that tfjs's CPU kernel must run */
  run(
    inputs: tf.NamedTensorInfoMap,
    attrs: tf.NamedAttrMap | undefined,
    backend: Backend,
  ): Output | undefined;
}

export function coreKernel<Inputs, Attrs, Backend extends CoreBackend = CoreBackend>(
  kernelName: string,
  run: (inputs: Inputs, attrs: Attrs, backend: Backend) => Output | undefined,
): CoreKernel<Backend> {
  return {
    kernelName,
    // tfjs types what a kernel gets as maps of anything; its kernel_names say what they hold.
    run: (inputs, attrs, backend) => run(inputs as Inputs, attrs as Attrs, backend),
  };
}

/** A new tensor that `write` fills; undefined if that declines. */
export function written(
  backend: CoreBackend,
  shape: readonly number[],
  dtype: tf.DataType,
  write: (to: Address) => boolean,
): tf.TensorInfo | undefined {
  const y = backend.allocate(shape, dtype === 'int32' ? dtype : 'float32');
  if (write(y.address)) return y.info;
  backend.disposeData(y.info.dataId);
  return undefined;
}

/** Whether there are numbers in all of them, and all are float32. */
export function isFloat(...tensors: tf.TensorInfo[]): boolean {
  return tensors.every(({ dtype, shape }) => dtype === 'float32' && sizeOf(shape) > 0);
}

/** Whether there are numbers in all of them, and all are float32 or all int32. */
export function isWords(...tensors: tf.TensorInfo[]): boolean {
  const isInt = tensors.every(({ dtype, shape }) => dtype === 'int32' && sizeOf(shape) > 0);
  return isInt || isFloat(...tensors);
}
