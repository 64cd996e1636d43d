// packedMatMul: a matmul by a packed weight, with fused bias, activation and residual.
import * as tf from '@tensorflow/tfjs-core';
import type { Activation } from '../kernels.js';
import { isTapeOpen, runKernel1 } from '../registry.js';
import { type PackedWeight, packedWeightAttrs } from '../weights/packed_weight.js';
import { checkLastAxis, ShapeChecker } from './checks.js';
import { gatedActivation } from './gated_activation.js';

/** Options of packedMatMul. */
export interface PackedMatMulOptions {
  /** (outFeatures) */
  bias?: tf.Tensor | undefined;
  /** Applied after the bias. Default: 'linear'. */
  activation?: Activation;
  /** (..., outFeatures), added last. */
  residual?: tf.Tensor | undefined;
}

/**
 * y = activation(x weight^T + bias) + residual.
 *
 * @param x (..., inFeatures)
 * @param weight packed, of shape (outFeatures, inFeatures)
 * @returns (..., outFeatures)
 */
export function packedMatMul(
  x: tf.Tensor,
  weight: PackedWeight,
  { bias, activation = 'linear', residual }: PackedMatMulOptions = {},
): tf.Tensor {
  const [outFeatures, inFeatures] = weight.shape;
  checkLastAxis('packedMatMul: x', x, inFeatures);
  const shapes = new ShapeChecker('packedMatMul');
  if (bias) shapes.check('bias', bias, [outFeatures]);
  if (residual) shapes.check('residual', residual, [...x.shape.slice(0, -1), outFeatures]);
  if (activation !== 'linear' && isTapeOpen()) {
    // Separate ops, so that the gradient need not recompute the matmul for the activation's input.
    const y = gatedActivation(packedMatMul(x, weight, { bias }), null, activation);
    return residual ? tf.add(y, residual) : y;
  }
  return runKernel1(
    'PackedMatMul',
    {
      x,
      weight: weight.tensor,
      ...(bias && { bias }),
      ...(residual && { residual }),
    },
    { weight: packedWeightAttrs(weight), activation },
  );
}
