// CrossEntropy and its gradient from tfjs-core ops.
import * as tf from '@tensorflow/tfjs-core';
import { defineKernel } from '../../registry.js';

export const crossEntropyKernel = defineKernel('CrossEntropy', ({ logits, targets }) => {
  const max = tf.max(logits, -1, true);
  const logSum = tf.log(tf.sum(tf.exp(tf.sub(logits, max)), -1));
  const chosen = tf.sum(tf.mul(tf.sub(logits, max), hot(targets, logits)), -1);
  return tf.mul(tf.sub(logSum, chosen), counted(targets));
});

export const crossEntropyGradKernel = defineKernel(
  'CrossEntropyGrad',
  ({ logits, targets, dy }) => {
    const scale = tf.expandDims(tf.mul(dy, counted(targets)), -1);
    return tf.mul(tf.sub(tf.softmax(logits), hot(targets, logits)), scale);
  },
);

/**
 * (T, V), 1 at the target. A row without a target marks class 0, and `counted` excludes it.
 *
 * tfjs-backend-wasm needs this: its oneHot writes outside the tensor for negative indices, and returns the
 * bits of an integer 1 as float32.
 */
function hot(targets: tf.Tensor, logits: tf.Tensor): tf.Tensor {
  const classes = tf.cast(tf.maximum(targets, tf.scalar(0, 'int32')), 'int32');
  return tf.cast(tf.oneHot(classes, logits.shape[1] ?? 0), 'float32');
}

/** (T), 1 where there is a target. */
function counted(targets: tf.Tensor): tf.Tensor {
  return tf.cast(tf.greaterEqual(targets, 0), 'float32');
}
