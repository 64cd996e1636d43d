// A matrix as a backend wants it in memory. Only the backend that packed it knows the layout.
import * as tf from '@tensorflow/tfjs-core';
import { ReneError } from '../errors.js';

/** How the numbers of a weight are stored. int8 and int4 are affine in groups along the input. */
export type WeightFormat = 'f32' | 'bf16' | 'f16' | 'int8' | 'int4';
export type IntFormat = Extract<WeightFormat, 'int8' | 'int4'>;

export function isIntFormat(format: WeightFormat): format is IntFormat {
  return format === 'int8' || format === 'int4';
}

/**
 * A weight matrix of shape (outFeatures, inFeatures), packed for one backend.
 *
 * `layout` names the memory layout: 'rows' is the plain row-major f32 matrix, which every backend
 * takes (training needs it); other layouts are private to the backend that wrote them.
 */
export interface PackedWeight {
  readonly format: WeightFormat;
  readonly layout: string;
  readonly shape: readonly [outFeatures: number, inFeatures: number];
  /** [weight], or [weight, scales, offsets] for affine formats that keep them apart. */
  readonly tensors: readonly tf.Tensor[];
  /** Columns that share a scale and an offset, for int8 and int4. */
  readonly groupSize?: number;
}

/** What a kernel must know of a PackedWeight besides its tensors. */
export type PackedWeightAttrs = {
  format: WeightFormat;
  layout: string;
  shape: number[];
  groupSize: number;
};

/** Wraps a plain (outFeatures, inFeatures) f32 matrix; the tensor is held, not copied. */
export function rowsWeight(matrix: tf.Tensor): PackedWeight {
  const [outFeatures, inFeatures] = matrix.shape;
  if (matrix.rank !== 2 || outFeatures === undefined || inFeatures === undefined) {
    throw new ReneError(`a weight matrix has two axes, found shape [${matrix.shape.join(', ')}]`);
  }
  return { format: 'f32', layout: 'rows', shape: [outFeatures, inFeatures], tensors: [matrix] };
}

export function packedWeightAttrs(weight: PackedWeight): PackedWeightAttrs {
  const { format, layout, shape, groupSize } = weight;
  return { format, layout, shape: [...shape], groupSize: groupSize ?? 0 };
}

type PackedWeightInputs<N extends string> = Record<N, tf.Tensor> &
  Partial<Record<`${N}.scales` | `${N}.offsets`, tf.Tensor>>;

/** The tensors of a weight as kernel inputs: `name`, `name.scales`, `name.offsets`. */
export function packedWeightInputs<N extends string>(
  name: N,
  weight: PackedWeight,
): PackedWeightInputs<N> {
  const [values, scales, offsets] = weight.tensors;
  const inputs = { [name]: values, [`${name}.scales`]: scales, [`${name}.offsets`]: offsets };
  // The compiler widens computed keys to string.
  return inputs as PackedWeightInputs<N>;
}

/** Frees the tensors of a weight. */
export function disposeWeight(weight: PackedWeight): void {
  tf.dispose([...weight.tensors]);
}
