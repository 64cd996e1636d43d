// Matrices in the dtype of a saved file, quantised if necessary.
import {
  disposeWeight,
  type PackedWeight,
  type QuantizedMatrix,
  type WeightFormat,
  weightPacker,
} from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import type { STORED_DTYPES } from '../dtype_names.js';
import { CheckpointError } from '../errors.js';

/** Columns per scale and offset in matrices that are quantised on saving. */
const GROUP_SIZE = 64;

/**
 * Quantises a matrix to int8 or int4 on the current backend. Returns the same matrix if its columns are not
 * whole groups, which the file's layout requires. The caller frees a new one.
 *
 * @throws CheckpointError if the backend cannot quantise
 */
export async function quantizedWeight(
  weight: PackedWeight,
  format: 'int8' | 'int4',
): Promise<PackedWeight> {
  if (weight.format === format && hasWholeGroups(weight)) return weight;
  const [rows, columns] = weight.shape;
  if (columns % GROUP_SIZE !== 0) return weight;
  const packer = weightPacker();
  if (!packer.formats.includes(format) || !packer.exportQuantized) {
    throw new CheckpointError(
      `the backend '${tf.getBackend()}' cannot quantise to ${format}: load the model on 'simd' or 'cuda', ` +
        'or use rene quantize',
    );
  }
  const values = await packer.unpack(weight);
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const readRows = (first: number, count: number) =>
    bytes.subarray(first * columns * 4, (first + count) * columns * 4);
  return packer.pack({ shape: [rows, columns], dtype: 'F32', readRows }, format, GROUP_SIZE);
}

/** Whether a weight has quantised values in whole groups, as the file's layout requires. */
export function hasWholeGroups({ format, shape, groupSize }: PackedWeight): boolean {
  const isQuantized = format === 'int8' || format === 'int4';
  return isQuantized && groupSize !== undefined && shape[1] % groupSize === 0;
}

/** Frees weights that were created only for the file. */
export function disposeWeights(weights: Iterable<PackedWeight>): void {
  for (const weight of weights) disposeWeight(weight);
}

/** The quantised values of a weight. @throws CheckpointError if the backend cannot export them */
export function exportQuantized(weight: PackedWeight): QuantizedMatrix {
  const packer = weightPacker();
  if (packer.exportQuantized) return packer.exportQuantized(weight);
  throw new CheckpointError(`the backend '${tf.getBackend()}' cannot write quantised weights`);
}

/** The file's dtype for a weight format; F32 for quantised ones. */
export function floatFormat(format: WeightFormat): keyof typeof STORED_DTYPES {
  return format === 'bf16' || format === 'f16' ? format : 'f32';
}
