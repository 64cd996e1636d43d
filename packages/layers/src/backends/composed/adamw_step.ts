// AdamWStep from tfjs-core ops.
import * as tf from '@tensorflow/tfjs-core';
import { defineKernel } from '../../registry.js';

export const adamWStepKernel = defineKernel('AdamWStep', (inputs, attrs) => {
  const { beta1, beta2, eps, scale, learningRate, weightDecay } = attrs;
  const gradient = scale === 1 ? inputs.gradient : tf.mul(inputs.gradient, scale);
  const mean = tf.add(tf.mul(inputs.mean, beta1), tf.mul(gradient, 1 - beta1));
  const square = tf.add(tf.mul(inputs.square, beta2), tf.mul(tf.square(gradient), 1 - beta2));
  const deviation = tf.add(tf.sqrt(tf.mul(square, attrs.squareCorrection)), eps);
  const update = tf.mul(tf.div(mean, deviation), -learningRate * attrs.meanCorrection);
  const kept =
    weightDecay === 0 ? inputs.variable : tf.mul(inputs.variable, 1 - learningRate * weightDecay);
  return [tf.add(kept, update), mean, square];
});
