// The activations and their derivatives from tfjs-core ops.
import * as tf from '@tensorflow/tfjs-core';
import type { Activation } from '../../kernels.js';

/** log(1 + exp(x)), exact for large |x|. */
export function softplus(x: tf.Tensor): tf.Tensor {
  return tf.add(tf.maximum(x, 0), tf.log1p(tf.exp(tf.neg(tf.abs(x)))));
}

/** x/2 (1 + erf(x / sqrt 2)) */
function gelu(x: tf.Tensor): tf.Tensor {
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));
}

export function silu(x: tf.Tensor): tf.Tensor {
  return tf.mul(x, tf.sigmoid(x));
}

export function activate(x: tf.Tensor, activation: Activation): tf.Tensor {
  switch (activation) {
    case 'linear':
      return x;
    case 'silu':
      return silu(x);
    case 'gelu':
      return gelu(x);
    case 'relu2':
      return tf.square(tf.relu(x));
  }
}

/** dy * activation'(x) */
export function activateGrad(x: tf.Tensor, dy: tf.Tensor, activation: Activation): tf.Tensor {
  switch (activation) {
    case 'linear':
      return dy;
    case 'silu': {
      const s = tf.sigmoid(x);
      return tf.mul(dy, tf.mul(s, tf.add(tf.mul(x, tf.sub(1, s)), 1)));
    }
    case 'gelu': {
      const cdf = tf.mul(tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1), 0.5);
      const pdf = tf.mul(tf.exp(tf.mul(tf.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
      return tf.mul(dy, tf.add(cdf, tf.mul(x, pdf)));
    }
    case 'relu2':
      return tf.mul(dy, tf.mul(tf.relu(x), 2));
  }
}
