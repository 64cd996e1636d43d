// Runs one of our TensorFlow ops through tfjs-node's backend.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import { TF_FLOAT, TF_INT32 } from './c_api.js';
import type { NodeBackend, OpAttr } from './node_backend.js';
import { callText, failure, snake, type TensorflowOp } from './register_ops.js';

export interface OpRun {
  /** Without absent ones and placeholders. */
  inputs: tf.NamedTensorInfoMap;
  attrs: object;
  /** Values of the op's `integers`. */
  integers?: readonly number[];
  outputs: number;
  /** Whether the states may be overwritten. */
  inPlace?: boolean;
}

/**
 * @returns the op's outputs, without states that were updated in place
 * @throws the kernel's error, or BackendError with TensorFlow's message
 */
export function runOp(backend: NodeBackend, op: TensorflowOp, run: OpRun): tf.TensorInfo[] {
  const { binding } = backend;
  const integer = (name: string, value: number): OpAttr => {
    return { name, type: binding.TF_ATTR_INT, value };
  };
  const attrs: OpAttr[] = [integer('output_count', run.outputs)];
  const given: string[] = [];
  const tensors: tf.TensorInfo[] = [];
  for (const { name, type, optional } of op.inputs) {
    const tensor = run.inputs[name];
    if (tensor) {
      given.push(name);
      tensors.push(tensor);
    }
    const argument = snake(name);
    if (optional) attrs.push(integer(`${argument}_count`, tensor ? 1 : 0));
    if (type === 'weight') {
      const value = tensor?.dtype === 'int32' ? TF_INT32 : TF_FLOAT;
      attrs.push({ name: `${argument}_type`, type: binding.TF_ATTR_TYPE, value });
    }
  }
  const call = callText({ given, inPlace: run.inPlace ?? false, attrs: run.attrs });
  attrs.push({ name: 'call', type: binding.TF_ATTR_STRING, value: call });
  const { integers = [] } = run;
  if (op.integers) attrs.push(integer(`${snake(op.integers)}_count`, integers.length > 0 ? 1 : 0));
  const host = integers.length > 0 ? tf.tensor1d([...integers], 'int32') : undefined;
  failure.error = undefined;
  try {
    const all = host ? [...tensors, host] : tensors;
    return backend.executeMultipleOutputs(op.name, attrs, all, run.outputs);
  } catch (error) {
    if (failure.error !== undefined) throw failure.error;
    const words = error instanceof Error ? error.message : String(error);
    throw new BackendError(`${op.name}: ${words}`, { cause: error });
  } finally {
    host?.dispose();
  }
}
