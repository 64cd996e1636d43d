// gatedRmsNorm: Mamba-2's RMS norm over groups of channels, with a SiLU gate before or after it.
import type * as tf from '@tensorflow/tfjs-core';
import { InvalidArgumentError } from '../errors.js';
import { runKernel1 } from '../registry.js';
import { checkLastAxis, ShapeChecker } from './checks.js';

/** Options of gatedRmsNorm. */
export interface GatedRmsNormOptions {
  /** Channels per group. Must divide D. Default: D. */
  groupSize?: number;
  /** Default: 1e-5. */
  eps?: number;
  /** true: rms(x) * weight * silu(z). false: rms(x * silu(z)) * weight. Default: false. */
  normBeforeGate?: boolean;
}

/**
 * The norm between Mamba-2's scan and output projection (`RMSNormGated` of the mamba repository).
 *
 * @param x (..., D)
 * @param z the gate, of x's shape; null for a plain grouped norm
 * @param weight (D)
 * @returns (..., D)
 */
export function gatedRmsNorm(
  x: tf.Tensor,
  z: tf.Tensor | null,
  weight: tf.Tensor,
  { groupSize = weight.size, eps = 1e-5, normBeforeGate = false }: GatedRmsNormOptions = {},
): tf.Tensor {
  new ShapeChecker('gatedRmsNorm').check('weight', weight, ['D']);
  checkLastAxis('gatedRmsNorm: x', x, weight.size);
  if (z) new ShapeChecker('gatedRmsNorm').check('z', z, x.shape);
  if (weight.size % groupSize !== 0) {
    throw new InvalidArgumentError(
      'gatedRmsNorm: groupSize',
      `a divisor of ${weight.size}`,
      String(groupSize),
    );
  }
  const inputs = z ? { x, z, weight } : { x, weight };
  return runKernel1('GatedRmsNorm', inputs, { groupSize, eps, normBeforeGate });
}
