// Packs weights inside TensorFlow: pieces of the file become int32 tensors, and our ops write the packed
// layout.
//
// f32 weights are plain tensors, as on other backends, so that composed ops and gradients can read them.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import { isIntFormat, type PackedWeight, type WeightFormat } from '../../weights/packed_weight.js';
import {
  type QuantizedMatrix,
  rowsPacker,
  type StoredMatrix,
  storedBytes,
  type WeightPacker,
} from '../../weights/packing.js';
import { layoutOf, PACKED, PACKED_F16, type WeightShape } from '../cuda/layout.js';
import { checkGroup, checkWholeGroups, parameterWords } from '../native/packing.js';
import { asNodeBackend } from './node_backend.js';
import type { TensorflowOp } from './register_ops.js';
import { runOp } from './run_op.js';
import { emptyWords, packRowsOp, storeWords, unpackRowsOp } from './weight_ops.js';

/** Bytes of a matrix per read. */
const PIECE_BYTES = 16 << 20;

export const tensorflowPacker: WeightPacker = {
  formats: ['f32', 'bf16', 'f16', 'int8', 'int4'],
  roundedProducts: ['bf16', 'f16', 'int8', 'int4'],
  pack,
  unpack,
  packQuantized,
};

async function pack(
  matrix: StoredMatrix,
  format: WeightFormat,
  groupSize: number,
): Promise<PackedWeight> {
  if (format === 'f32') return rowsPacker.pack(matrix, format, groupSize);
  if (isIntFormat(format)) checkGroup(groupSize);
  const group = isIntFormat(format) ? groupSize : 0;
  const weight = { format, layout: PACKED, shape: matrix.shape, groupSize: group };
  const [rows, columns] = matrix.shape;
  return filled(weight, async (packed) => {
    const piece = piecesOf(rows, columns * storedBytes[matrix.dtype]);
    for (const [first, count] of piece) {
      const bytes = await matrix.readRows(first, count);
      write(packRowsOp, packed, bytes, { weight, dtype: matrix.dtype }, [first, count]);
    }
  });
}

/** A file's quantised values are in our layout; its scales and offsets are interleaved as words. */
async function packQuantized(matrix: QuantizedMatrix): Promise<PackedWeight> {
  const { format, shape, groupSize, parameterDType } = matrix;
  const [rows, columns] = shape;
  checkGroup(groupSize);
  checkWholeGroups(columns, groupSize);
  const layout = parameterDType === 'F16' ? PACKED_F16 : PACKED;
  const weight = { format, layout, shape, groupSize };
  const { pitch, paramsAt, groups } = layoutOf(weight);
  return filled(weight, async (packed) => {
    for (const [first, count] of piecesOf(rows, pitch)) {
      const part = await matrix.readRows(first, count);
      write(storeWords, packed, part.values, {}, [(first * pitch) / 4]);
      write(storeWords, packed, parameterWords(part), {}, [paramsAt / 4 + first * groups]);
    }
  });
}

async function unpack(weight: PackedWeight): Promise<Float32Array> {
  const { format, layout, groupSize = 0, tensor: packed } = weight;
  if (layout === 'rows') return rowsPacker.unpack(weight);
  const [rows, columns] = weight.shape;
  const values = new Float32Array(rows * columns);
  const attrs = { weight: { format, layout, shape: weight.shape, groupSize } };
  for (const [first, count] of piecesOf(rows, columns * 4)) {
    const part = run(unpackRowsOp, { packed }, attrs, [first, count], 1);
    values.set(await part.data(), first * columns);
    part.dispose();
  }
  return values;
}

/** Ranges of rows. Each range except the last is a multiple of 8 rows. */
function piecesOf(rows: number, rowBytes: number): [first: number, count: number][] {
  const piece = Math.max(8, Math.floor(PIECE_BYTES / rowBytes / 8) * 8);
  return Array.from({ length: Math.ceil(rows / piece) }, (_, i) => {
    return [i * piece, Math.min(piece, rows - i * piece)];
  });
}

/** Allocates a weight and fills it with `fill`. Frees it if that fails. */
async function filled(
  weight: WeightShape & Pick<PackedWeight, 'shape'>,
  fill: (packed: tf.Tensor) => Promise<void>,
): Promise<PackedWeight> {
  const words = Math.ceil(layoutOf(weight).bytes / 4);
  const packed = tf.keep(run(emptyWords, {}, {}, [words], 1));
  try {
    await fill(packed);
  } catch (error) {
    packed.dispose();
    throw error;
  }
  const { format, layout, shape, groupSize } = weight;
  return { format, layout, shape, tensor: packed, ...(groupSize > 0 && { groupSize }) };
}

/** Runs an op that writes bytes of a file to a weight in place. */
function write(
  op: TensorflowOp,
  packed: tf.Tensor,
  bytes: Uint8Array,
  attrs: object,
  integers: number[],
): void {
  const source = tf.tensor1d(asWords(bytes), 'int32');
  try {
    runOp(asNodeBackend(tf.backend()), op, {
      inputs: { packed, source },
      attrs,
      integers,
      outputs: 0,
    });
  } finally {
    source.dispose();
  }
}

function run(
  op: TensorflowOp,
  inputs: tf.NamedTensorInfoMap,
  attrs: object,
  integers: number[],
  outputs: 1,
): tf.Tensor {
  const [info] = runOp(asNodeBackend(tf.backend()), op, { inputs, attrs, integers, outputs });
  if (info instanceof tf.Tensor) return info;
  throw new BackendError(`${op.name} returned no tensor`);
}

/** The bytes as whole words; a copy if they are not aligned. */
function asWords(bytes: Uint8Array): Int32Array {
  if (bytes.byteOffset % 4 === 0 && bytes.length % 4 === 0) {
    return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  }
  const words = new Int32Array(Math.ceil(bytes.length / 4));
  new Uint8Array(words.buffer).set(bytes);
  return words;
}
