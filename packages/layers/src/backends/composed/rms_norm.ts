// RmsNorm and its gradient from tfjs-core ops.
import * as tf from '@tensorflow/tfjs-core';
import { defineKernel } from '../../registry.js';

export const rmsNormKernel = defineKernel('RmsNorm', ({ x, weight }, { eps }) => {
  // 1 / rms and weight as one outer product, since tfjs's CPU backend is slow at broadcasting a column.
  const scale = tf.matMul(tf.reshape(inverseRms(x, eps), [-1, 1]), tf.reshape(weight, [1, -1]));
  return tf.mul(x, tf.reshape(scale, x.shape));
});

export const rmsNormGradKernel = defineKernel('RmsNormGrad', ({ x, weight, dy }, { eps }) => {
  const { dx, dweight } = rmsNormGrad(x, weight, dy, eps);
  return [dx, dweight];
});

/** 1 / sqrt(mean(x^2) + eps) over the last axis, which is kept. */
export function inverseRms(x: tf.Tensor, eps: number): tf.Tensor {
  return tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), eps));
}

/** With n = x / rms(x): dx = (g - n mean(g n)) / rms(x), where g = dy * weight. */
export function rmsNormGrad(
  x: tf.Tensor,
  weight: tf.Tensor,
  dy: tf.Tensor,
  eps: number,
): { dx: tf.Tensor; dweight: tf.Tensor } {
  const inverse = inverseRms(x, eps);
  const normed = tf.mul(x, inverse);
  const g = tf.mul(dy, weight);
  const dx = tf.mul(tf.sub(g, tf.mul(normed, tf.mean(tf.mul(g, normed), -1, true))), inverse);
  return { dx, dweight: sumToShape(tf.mul(dy, normed), weight.shape) };
}

/** Sums the leading axes that `shape` does not have. */
function sumToShape(t: tf.Tensor, shape: number[]): tf.Tensor {
  const leading = t.rank - shape.length;
  return leading === 0 ? t : tf.sum(t, [...Array(leading).keys()]);
}
