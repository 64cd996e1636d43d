// causalConv1d: the short depthwise convolution before Mamba-2's scan, with its window as state.
import type * as tf from '@tensorflow/tfjs-core';
import type { Activation } from '../kernels.js';
import { output, runKernel } from '../registry.js';
import { ShapeChecker } from './checks.js';

/** Options of causalConv1d. */
export interface CausalConv1dOptions {
  /** (D) */
  bias?: tf.Tensor | undefined;
  /** (B, W, D): the last W inputs before x, oldest first. Default: zeros. */
  state?: tf.Tensor | undefined;
  /** Default: 'silu'. */
  activation?: Activation;
  /** Also return the window after x. Default: false. */
  returnState?: boolean;
}

/**
 * y[t] = activation(bias + sum over w of weight[:, w] * x[t - (W-1) + w]): a causal depthwise
 * cross-correlation. weight[:, W-1] applies to the current token.
 *
 * @param x (B, L, D)
 * @param weight (D, W)
 * @returns y (B, L, D) and, with returnState, state (B, W, D): the last W raw inputs, oldest first
 */
export function causalConv1d(
  x: tf.Tensor,
  weight: tf.Tensor,
  { bias, state, activation = 'silu', returnState = false }: CausalConv1dOptions = {},
): { y: tf.Tensor; state?: tf.Tensor } {
  const shapes = new ShapeChecker('causalConv1d');
  shapes.check('x', x, ['B', 'L', 'D']);
  shapes.check('weight', weight, ['D', 'W']);
  if (bias) shapes.check('bias', bias, ['D']);
  if (state) shapes.check('state', state, ['B', 'W', 'D']);
  const inputs = { x, weight, ...(bias && { bias }), ...(state && { state }) };
  const outputs = runKernel('CausalConv1d', inputs, { activation, returnState });
  const y = output(outputs, 0);
  return returnState ? { y, state: output(outputs, 1) } : { y };
}
