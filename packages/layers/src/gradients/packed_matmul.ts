import * as tf from '@tensorflow/tfjs-core';
import { requireRows } from '../backends/composed/packed_matmul.js';
import { defineGradient, output, runKernel1 } from '../registry.js';

defineGradient('PackedMatMul', (dys, { x, weight, bias }, attrs) => {
  requireRows('PackedMatMul gradient', attrs.weight);
  const dy = output(dys, 0);
  const [outFeatures = 0, inFeatures = 0] = attrs.weight.shape;
  const linear = () =>
    runKernel1('PackedMatMul', { x, weight, bias }, { ...attrs, activation: 'linear' });
  const { activation } = attrs;
  const dLinear =
    activation === 'linear'
      ? dy
      : runKernel1('GatedActivationGrad', { x: linear(), dy }, { activation });
  const rows = tf.reshape(dLinear, [-1, outFeatures]);
  return {
    x: () => tf.reshape(tf.matMul(rows, weight), x.shape),
    weight: () => tf.matMul(rows, tf.reshape(x, [-1, inFeatures]), true, false),
    bias: () => tf.sum(rows, 0),
    residual: () => dy,
  };
});
