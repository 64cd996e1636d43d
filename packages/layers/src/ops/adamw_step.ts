// adamWStep: one AdamW step for one tensor in a single pass.
import type * as tf from '@tensorflow/tfjs-core';
import type { AdamWStepAttrs } from '../kernels.js';
import { output, runKernel } from '../registry.js';
import { ShapeChecker } from './checks.js';

/** A trained tensor with its first and second moments. */
export interface AdamWTensors {
  variable: tf.Tensor;
  mean: tf.Tensor;
  square: tf.Tensor;
}

/**
 * With g = scale gradient: mean' = beta1 mean + (1 - beta1) g, square' = beta2 square + (1 - beta2) g^2,
 * variable' = (1 - learningRate weightDecay) variable
 *   - learningRate (meanCorrection mean') / (sqrt(squareCorrection square') + eps).
 * Not differentiable. arXiv 1711.05101.
 *
 * @param tensors float32, all of one shape; they stay as they are
 * @param gradient of their shape
 * @returns new tensors
 */
export function adamWStep(
  tensors: AdamWTensors,
  gradient: tf.Tensor,
  attrs: AdamWStepAttrs,
): AdamWTensors {
  const { variable, mean, square } = tensors;
  const checker = new ShapeChecker('adamWStep');
  for (const [name, tensor] of Object.entries({ mean, square, gradient })) {
    checker.check(name, tensor, variable.shape);
  }
  const outputs = runKernel('AdamWStep', { variable, mean, square, gradient }, attrs);
  return { variable: output(outputs, 0), mean: output(outputs, 1), square: output(outputs, 2) };
}
