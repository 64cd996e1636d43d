// The part of tfjs-node's backend that is used here. tfjs-node may not be installed, so its types are not
// available.
import type * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';

/** An attribute of a TensorFlow op, as the native binding takes it. */
export interface OpAttr {
  name: string;
  type: number;
  value: number | string;
}

export interface NodeBackend {
  binding: {
    readonly TF_ATTR_STRING: number;
    readonly TF_ATTR_INT: number;
    readonly TF_ATTR_TYPE: number;
    executeOp(
      name: string,
      attrs: OpAttr[],
      inputIds: number[],
      outputs: number,
    ): { id: number; shape: number[]; dtype: number }[];
  };
  /** Whether TensorFlow found a GPU. */
  readonly isUsingGpuDevice: boolean;
  executeMultipleOutputs(
    name: string,
    attrs: OpAttr[],
    inputs: readonly tf.TensorInfo[],
    outputs: number,
  ): tf.TensorInfo[];
  /** Every op gets its input ids from this method. */
  getInputTensorIds(inputs: readonly tf.TensorInfo[]): number[];
  refCount(dataId: tf.DataId): number;
  incRef(dataId: tf.DataId): void;
}

/** @throws BackendError for another backend, or an incompatible tfjs-node */
export function asNodeBackend(backend: unknown): NodeBackend {
  if (isNodeBackend(backend)) return backend;
  throw new BackendError("the current backend is not 'tensorflow' of @tensorflow/tfjs-node 4");
}

function isNodeBackend(backend: unknown): backend is NodeBackend {
  if (typeof backend !== 'object' || backend === null) return false;
  const methods = ['executeMultipleOutputs', 'getInputTensorIds', 'refCount', 'incRef'];
  return (
    methods.every((name) => typeof Reflect.get(backend, name) === 'function') &&
    'isUsingGpuDevice' in backend &&
    'binding' in backend
  );
}
