// Our kernels as TensorFlow ops compared with composed ones on tfjs's CPU backend.
import * as tf from '@tensorflow/tfjs-core';
import { attentionCases } from '../attention_cases.js';
import type { TestedBackend } from '../fuzz.js';
import { gradientCases } from '../gradient_cases.js';
import { mixerCases } from '../mixer_cases.js';
import { opCases } from '../op_cases.js';
import { describeInTensorflow } from './inside_tensorflow.js';

const tensorflow: TestedBackend = {
  // Not useBackend, which would select the kernels anew.
  use: async () => {
    await tf.setBackend('tensorflow');
  },
  numRuns: 12,
};

describeInTensorflow('tensorflow: ops as composed on the cpu', () => {
  opCases(tensorflow);
  attentionCases(tensorflow);
  mixerCases(tensorflow);
});

describeInTensorflow('tensorflow: gradients as composed on the cpu', () =>
  gradientCases(tensorflow),
);
