// Packs weights while they are read: pieces of the file are uploaded, and kernels write the packed layout.
import * as tf from '@tensorflow/tfjs-core';
import {
  isIntFormat,
  type PackedWeight,
  packedWeightAttrs,
  type WeightFormat,
} from '../../weights/packed_weight.js';
import type { QuantizedMatrix, StoredMatrix, WeightPacker } from '../../weights/packing.js';
import {
  checkGroup,
  checkWholeGroups,
  packedWeight,
  packPieces,
  unpackPieces,
  uploadQuantized,
} from '../native/packing.js';
import { PackingWeights } from '../native/packing_weights.js';
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
  const weights = new PackingWeights(backend.ops, matrix, weight);
  const packing = packedWeight(backend, weight, layoutOf(weight).bytes, (address) =>
    packPieces(backend, weights.matrix, 1, (staged, first, count) =>
      packRows(
        ...([backend.runtime, staged, matrix.dtype, address, weight, first, count] as const),
        weights.address,
      ),
    ),
  );
  return packing.finally(() => weights.dispose());
}

/** A file's quantised values are in our layout; its scales and offsets are interleaved as words. */
async function packQuantized(matrix: QuantizedMatrix): Promise<PackedWeight> {
  const { format, shape, groupSize, parameterDType } = matrix;
  const [, columns] = shape;
  checkGroup(groupSize);
  checkWholeGroups(columns, groupSize);
  const backend = asCuda(tf.backend());
  const layout = parameterDType === 'F16' ? PACKED_F16 : PACKED;
  const weight = { format, layout, shape, groupSize };
  const sizes = layoutOf(weight);
  return packedWeight(backend, weight, sizes.bytes, (address) =>
    uploadQuantized(backend.ops, matrix, address, sizes),
  );
}

async function unpack(weight: PackedWeight): Promise<Float32Array> {
  const backend = asCuda(tf.backend());
  const sizes = packedWeightAttrs(weight);
  return unpackPieces(backend, weight, (from, staged, first, count) =>
    unpackRows(backend.runtime, from, sizes, staged, first, count),
  );
}
