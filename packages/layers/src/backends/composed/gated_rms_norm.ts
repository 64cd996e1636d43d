// GatedRmsNorm and its gradient from tfjs-core ops.
import * as tf from '@tensorflow/tfjs-core';
import { defineKernel } from '../../registry.js';
import { activateGrad, silu } from './activations.js';
import { inverseRms, rmsNormGrad } from './rms_norm.js';
import { overColumns } from './ssd_scan.js';

export const gatedRmsNormKernel = defineKernel(
  'GatedRmsNorm',
  ({ x, z, weight }, { groupSize, eps, normBeforeGate }) => {
    const normed = (t: tf.Tensor) => {
      const groups = inGroups(t, groupSize);
      const scale = tf.reshape(overColumns(inverseRms(groups, eps), groupSize), x.shape);
      return tf.mul(tf.mul(t, scale), weight);
    };
    if (!z) return normed(x);
    return normBeforeGate ? tf.mul(normed(x), silu(z)) : normed(tf.mul(x, silu(z)));
  },
);

export const gatedRmsNormGradKernel = defineKernel(
  'GatedRmsNormGrad',
  ({ x, z, weight, dy }, { groupSize, eps, normBeforeGate }) => {
    const weightGroups = tf.reshape(weight, [-1, groupSize]);
    const normGrad = (t: tf.Tensor, dt: tf.Tensor) => {
      const grads = rmsNormGrad(inGroups(t, groupSize), weightGroups, inGroups(dt, groupSize), eps);
      return {
        dx: tf.reshape(grads.dx, x.shape),
        dweight: tf.reshape(grads.dweight, weight.shape),
      };
    };
    if (!z) {
      const { dx, dweight } = normGrad(x, dy);
      return [dx, dweight];
    }
    const gate = silu(z);
    if (normBeforeGate) {
      const { dx, dweight } = normGrad(x, tf.mul(dy, gate));
      const groups = inGroups(x, groupSize);
      const normed = tf.mul(tf.mul(groups, inverseRms(groups, eps)), weightGroups);
      const dgate = tf.mul(dy, tf.reshape(normed, x.shape));
      return [dx, dweight, activateGrad(z, dgate, 'silu')];
    }
    const { dx: dgated, dweight } = normGrad(tf.mul(x, gate), dy);
    return [tf.mul(dgated, gate), dweight, activateGrad(z, tf.mul(dgated, x), 'silu')];
  },
);

/** (..., D) as (..., D / groupSize, groupSize) */
function inGroups(t: tf.Tensor, groupSize: number): tf.Tensor {
  const channels = t.shape.at(-1) ?? 0;
  return tf.reshape(t, [...t.shape.slice(0, -1), channels / groupSize, groupSize]);
}
