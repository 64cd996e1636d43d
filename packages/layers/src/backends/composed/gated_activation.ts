// GatedActivation and its gradient from tfjs-core ops.
import * as tf from '@tensorflow/tfjs-core';
import { defineKernel } from '../../registry.js';
import { activate, activateGrad } from './activations.js';

export const gatedActivationKernel = defineKernel(
  'GatedActivation',
  ({ x, multiplier }, { activation }) => {
    const y = activation === 'linear' ? tf.clone(x) : activate(x, activation);
    return multiplier ? tf.mul(y, multiplier) : y;
  },
);

export const gatedActivationGradKernel = defineKernel(
  'GatedActivationGrad',
  ({ x, multiplier, dy }, { activation }) => {
    if (!multiplier) return [activateGrad(x, tf.clone(dy), activation)];
    return [
      activateGrad(x, tf.mul(dy, multiplier), activation),
      tf.mul(dy, activate(x, activation)),
    ];
  },
);
