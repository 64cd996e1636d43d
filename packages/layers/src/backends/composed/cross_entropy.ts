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

/** (T, V), 1 at the target; a row of zeros where there is none. */
function hot(targets: tf.Tensor, logits: tf.Tensor): tf.Tensor {
  return tf.oneHot(tf.cast(targets, 'int32'), logits.shape[1] ?? 0, 1, 0, 'float32');
}

/** (T), 1 where there is a target. */
function counted(targets: tf.Tensor): tf.Tensor {
  return tf.cast(tf.greaterEqual(targets, 0), 'float32');
}
