// Checks and conversions of stored states, shared by the mixers.
import * as tf from '@tensorflow/tfjs-core';
import { InvalidArgumentError } from '../errors.js';
import type { LayerState, ReadTensor, StoredTensor } from './layer.js';

/** Stores a float32 tensor of a state. */
export function storedF32(name: string, tensor: tf.Tensor): StoredTensor {
  return {
    name,
    dtype: 'F32',
    shape: tensor.shape,
    bytes: async () => {
      const values = await tensor.data<'float32'>();
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    },
  };
}

/** Reads a tensor of this shape. @throws InvalidArgumentError for another shape */
export async function readF32(
  read: ReadTensor,
  name: string,
  expected: readonly number[],
): Promise<tf.Tensor> {
  const { values, shape } = await read(name);
  checkShape(name, shape, expected);
  return tf.tensor(values, shape, 'float32');
}

/** @param expected -1 for any size of that axis */
export function checkShape(
  name: string,
  shape: readonly number[],
  expected: readonly number[],
): void {
  const fits =
    shape.length === expected.length &&
    expected.every((size, i) => size === -1 || size === shape[i]);
  if (fits) return;
  const sizes = expected.map((size) => (size === -1 ? 'any' : size)).join(', ');
  throw new InvalidArgumentError(name, `a tensor of shape [${sizes}]`, `[${shape.join(', ')}]`);
}

/** The states as instances of one class. @throws InvalidArgumentError for states of another kind */
export function sameKind<State extends LayerState>(
  kind: new (...args: never[]) => State,
  states: readonly LayerState[],
): State[] {
  return states.map((state) => {
    if (state instanceof kind) return state;
    throw new InvalidArgumentError('concat: states', 'states of one model', 'states of several');
  });
}
