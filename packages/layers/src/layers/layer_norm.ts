// LayerNorm: normalises mean and variance of the last axis, then applies weight and bias.
import * as tf from '@tensorflow/tfjs-core';
import { checkLastAxis, ShapeChecker } from '../ops/checks.js';
import { ones, zeros } from './initializers.js';
import type { ParameterSpec, Parameters } from './parameters.js';

/**
 * y = (x - mean) / sqrt(variance + eps) * weight + bias, over the last axis (Ba et al., 1607.06450).
 *
 * @param x (..., D)
 * @param weight (D)
 * @param bias (D)
 * @param eps Default: 1e-5
 */
export function layerNorm(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor, eps = 1e-5): tf.Tensor {
  const shapes = new ShapeChecker('layerNorm');
  shapes.check('weight', weight, ['D']);
  shapes.check('bias', bias, ['D']);
  checkLastAxis('layerNorm: x', x, weight.size);
  return tf.tidy(() => {
    const centred = tf.sub(x, tf.mean(x, -1, true));
    const variance = tf.mean(tf.square(centred), -1, true);
    const normed = tf.mul(centred, tf.rsqrt(tf.add(variance, eps)));
    return tf.add(tf.mul(normed, weight), bias);
  });
}

/** Mean 0 and variance 1 over the last axis, then a weight and a bias. */
export class LayerNorm {
  private readonly weight: tf.Tensor;
  private readonly bias: tf.Tensor;

  /** @param parameters 'weight' and 'bias' (dModel) */
  constructor(
    parameters: Parameters,
    private readonly eps = 1e-5,
  ) {
    this.weight = parameters.vector('weight');
    this.bias = parameters.vector('bias');
  }

  /** Its parameters, by their names in a checkpoint. */
  static parameters(dModel: number): ParameterSpec[] {
    return [
      { name: 'weight', shape: [dModel], kind: 'vector', init: ones },
      { name: 'bias', shape: [dModel], kind: 'vector', init: zeros },
    ];
  }

  /** x (..., dModel) to the same shape. */
  forward(x: tf.Tensor): tf.Tensor {
    return layerNorm(x, this.weight, this.bias, this.eps);
  }
}
