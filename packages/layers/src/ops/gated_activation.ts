// gatedActivation: activation(x) * multiplier, as in a gated MLP and in Mamba-2 without norm.
import type * as tf from '@tensorflow/tfjs-core';
import type { Activation } from '../kernels.js';
import { runKernel1 } from '../registry.js';
import { checkLastAxis, ShapeChecker } from './checks.js';

/**
 * y = activation(x) * multiplier. 'gelu' is the exact one: x/2 (1 + erf(x / sqrt 2)).
 *
 * @param x any shape
 * @param multiplier x's shape; null to apply the activation only
 * @returns x's shape
 */
export function gatedActivation(
  x: tf.Tensor,
  multiplier: tf.Tensor | null,
  activation: Activation,
): tf.Tensor {
  checkLastAxis('gatedActivation: x', x, x.shape.at(-1) ?? 0);
  if (multiplier) new ShapeChecker('gatedActivation').check('multiplier', multiplier, x.shape);
  return runKernel1('GatedActivation', multiplier ? { x, multiplier } : { x }, { activation });
}
