// A matrix packed for a backend. Only the backend that packed it knows the layout.
import type * as tf from '@tensorflow/tfjs-core';
import { ReneError } from '../errors.js';

/** The dtype of a weight. int8 and int4 are affine, in groups along the input features. */
export type WeightFormat = 'f32' | 'bf16' | 'f16' | 'int8' | 'int4';
export type IntFormat = Extract<WeightFormat, 'int8' | 'int4'>;

export function isIntFormat(format: WeightFormat): format is IntFormat {
  return format === 'int8' || format === 'int4';
}

/**
 * A weight matrix of shape (outFeatures, inFeatures), packed for one backend.
 *
 * `layout` names the memory layout. 'rows' is the plain row-major f32 matrix, which every backend supports
 * and training requires. Other layouts are private to the backend that wrote them.
 */
export interface PackedWeight {
  readonly format: WeightFormat;
  readonly layout: string;
  readonly shape: readonly [outFeatures: number, inFeatures: number];
  /** f32 (outFeatures, inFeatures) for 'rows', else int32 words. */
  readonly tensor: tf.Tensor;
  /** Columns per scale and offset, for int8 and int4. */
  readonly groupSize?: number;
}

/** The attributes of a PackedWeight that kernels need besides its tensor. */
export type PackedWeightAttrs = {
  format: WeightFormat;
  layout: string;
  shape: number[];
  groupSize: number;
};

/** Wraps a plain f32 matrix (outFeatures, inFeatures) without copying it. */
export function rowsWeight(matrix: tf.Tensor): PackedWeight {
  const [outFeatures, inFeatures] = matrix.shape;
  if (matrix.rank !== 2 || outFeatures === undefined || inFeatures === undefined) {
    throw new ReneError(`a weight matrix has two axes, found shape [${matrix.shape.join(', ')}]`);
  }
  return { format: 'f32', layout: 'rows', shape: [outFeatures, inFeatures], tensor: matrix };
}

export function packedWeightAttrs(weight: PackedWeight): PackedWeightAttrs {
  const { format, layout, shape, groupSize } = weight;
  return { format, layout, shape: [...shape], groupSize: groupSize ?? 0 };
}

/** The two weights of a mixer as kernel inputs, and their attributes. */
export function projectionInputs({ inProj, outProj }: Projections) {
  return { inProj: inProj.tensor, outProj: outProj.tensor };
}

export function projectionAttrs({ inProj, outProj }: Projections) {
  return { inProj: packedWeightAttrs(inProj), outProj: packedWeightAttrs(outProj) };
}

type Projections = Readonly<Record<'inProj' | 'outProj', PackedWeight>>;

/** Frees a weight's tensor. */
export function disposeWeight(weight: PackedWeight): void {
  weight.tensor.dispose();
}
