// Our kernels as ops inside TensorFlow against the composed ones on tfjs's CPU backend.
import * as tf from '@tensorflow/tfjs-core';
import { attentionCases } from '../attention_cases.js';
import type { TestedBackend } from '../fuzz.js';
import { gradientCases } from '../gradient_cases.js';
import { mixerCases } from '../mixer_cases.js';
import { opCases } from '../op_cases.js';
import { describeInTensorflow } from './inside_tensorflow.js';

const tensorflow: TestedBackend = {
  // Not useBackend, which chooses the kernels anew.
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
