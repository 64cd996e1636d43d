// Packs weights while they are read: pieces are uploaded as they are in the file, and kernels lay them out.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import {
  isIntFormat,
  type PackedWeight,
  packedWeightAttrs,
  type WeightFormat,
} from '../../weights/packed_weight.js';
import type { QuantizedMatrix, StoredMatrix, WeightPacker } from '../../weights/packing.js';
import {
  checkGroup,
  packedWeight,
  packPieces,
  parameterWords,
  pieces,
  unpackPieces,
} from '../native/packing.js';
import { asCuda } from './backend.js';
import { layoutOf, PACKED, PACKED_F16 } from './layout.js';
import { packRows, unpackRows } from './pack_rows.js';

export const cudaPacker: WeightPacker = {
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
  const isInt = isIntFormat(format);
  if (isInt) checkGroup(groupSize);
  const backend = asCuda(tf.backend());
  const group = isInt ? groupSize : 0;
  const weight = { format, layout: PACKED, shape: matrix.shape, groupSize: group };
  return packedWeight(backend, weight, layoutOf(weight).bytes, (address) =>
    packPieces(backend, matrix, 1, (staged, first, count) =>
      packRows(backend.runtime, staged, matrix.dtype, address, weight, first, count),
    ),
  );
}

/** A file's quantised values are in our layout; its scales and offsets are interleaved as words. */
async function packQuantized(matrix: QuantizedMatrix): Promise<PackedWeight> {
  const { format, shape, groupSize, parameterDType } = matrix;
  const [rows, columns] = shape;
  checkGroup(groupSize);
  if (columns % groupSize !== 0) {
    throw new BackendError(`${columns} columns are not whole groups of ${groupSize}`);
  }
  const backend = asCuda(tf.backend());
  const layout = parameterDType === 'F16' ? PACKED_F16 : PACKED;
  const weight = { format, layout, shape, groupSize };
  const { bytes, pitch, paramsAt, groups } = layoutOf(weight);
  return packedWeight(backend, weight, bytes, async (address) => {
    for (const [first, count] of pieces(rows, pitch, 8)) {
      const part = await matrix.readRows(first, count);
      backend.ops.upload(address + first * pitch, part.values);
      backend.ops.upload(address + paramsAt + first * groups * 4, parameterWords(part));
    }
  });
}

async function unpack(weight: PackedWeight): Promise<Float32Array> {
  const backend = asCuda(tf.backend());
  const sizes = packedWeightAttrs(weight);
  return unpackPieces(backend, weight, (from, staged, first, count) =>
    unpackRows(backend.runtime, from, sizes, staged, first, count),
  );
}
