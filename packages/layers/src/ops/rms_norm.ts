// rmsNorm: root-mean-square normalisation of the last axis (Zhang and Sennrich, arXiv 1910.07467).
import type * as tf from '@tensorflow/tfjs-core';
import { runKernel1 } from '../registry.js';
import { checkLastAxis, ShapeChecker } from './checks.js';

/**
 * y = x / sqrt(mean(x^2) + eps) * weight.
 *
 * @param x (..., D)
 * @param weight (D)
 * @param eps added to the mean square. Default: 1e-5
 * @returns (..., D)
 */
export function rmsNorm(x: tf.Tensor, weight: tf.Tensor, eps = 1e-5): tf.Tensor {
  new ShapeChecker('rmsNorm').check('weight', weight, ['D']);
  checkLastAxis('rmsNorm: x', x, weight.size);
  return runKernel1('RmsNorm', { x, weight }, { eps });
}
