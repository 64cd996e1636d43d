// TensorFlow ops that write and read packed weights: int32 tensors of words in cuda's layout.
import * as tf from '@tensorflow/tfjs-core';
import type { StoredDType } from '../../weights/packing.js';
import type { WeightShape } from '../cuda/layout.js';
import { packRows, unpackRows } from '../cuda/pack_rows.js';
import type { OpDefinition } from './op_definitions.js';
import type { TensorflowOp } from './register_ops.js';

type Run<A> = (
  tensors: Parameters<TensorflowOp['run']>[2],
  attrs: A & { integers: number[] },
  packed: tf.TensorInfo,
  source: tf.TensorInfo,
) => tf.TensorInfo[];

/** The attributes are passed as JSON. */
function weightOp<A extends object>(
  name: string,
  inputs: readonly string[],
  output: OpDefinition['output'],
  run: Run<A>,
): TensorflowOp {
  const none: tf.TensorInfo = { dataId: {}, shape: [0], dtype: 'int32' };
  return {
    name,
    inputs: inputs.map((input) => ({ name: input, type: 'int32', optional: false })),
    states: [],
    integers: 'integers',
    output,
    run: ({ packed = none, source = none }, attrs, tensors) =>
      run(tensors, attrs as A & { integers: number[] }, packed, source),
  };
}

/** Uninitialised words. Integers: their number. */
export const emptyWords = weightOp('ReneEmptyWords', [], 'int32', (tensors, { integers }) => [
  tensors.allocate([integers[0] ?? 0], 'int32').info,
]);

/** Packs rows of a file into a weight, in place. Integers: the first row, the number of rows. */
export const packRowsOp = weightOp<{ weight: WeightShape; dtype: StoredDType }>(
  'RenePackRows',
  ['packed', 'source'],
  'int32',
  (tensors, { weight, dtype, integers: [first = 0, count = 0] }, packed, source) => {
    const [from, to] = [tensors.address(source), tensors.address(packed)];
    packRows(tensors.ops.runtime, from, dtype, to, weight, first, count, 0);
    return [];
  },
);

/** Writes words into a weight, in place. Integers: the index of the first word. */
export const storeWords = weightOp(
  'ReneStoreWords',
  ['packed', 'source'],
  'int32',
  (tensors, { integers: [first = 0] }, packed, source) => {
    const to = tensors.address(packed) + 4 * first;
    const bytes = 4 * tf.util.sizeFromShape(source.shape);
    tensors.ops.copy(to, tensors.address(source), bytes);
    return [];
  },
);

/** Rows of a weight as f32 (rows, columns). Integers: the first row, the number of rows. */
export const unpackRowsOp = weightOp<{ weight: WeightShape }>(
  'ReneUnpackRows',
  ['packed'],
  'float',
  (tensors, { weight, integers: [first = 0, count = 0] }, packed) => {
    const rows = tensors.allocate([count, weight.shape[1] ?? 0]);
    unpackRows(tensors.ops.runtime, tensors.address(packed), weight, rows.address, first, count);
    return [rows.info];
  },
);

export const weightOps = [emptyWords, packRowsOp, storeWords, unpackRowsOp];
