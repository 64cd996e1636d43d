// Suites that need tfjs-node(-gpu), with our kernels as TensorFlow ops.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import {
  type TensorflowKernels,
  tensorflowInfo,
  useTensorflowKernels,
} from '../../../src/backends/tensorflow/index.js';
import { installedTensorflow } from '../../../src/backends/tensorflow/load.js';
import { useBackend } from '../../../src/index.js';

const isChosen = process.env.RENE_TEST_BACKENDS?.split(',').includes('tensorflow') ?? true;
/** On a CPU the kernels run on the emulated device. */
const isPossible = process.platform === 'linux' && process.arch === 'x64';

/** Skipped if TensorFlow is not installed. Restores the kernels afterwards. */
export function describeInTensorflow(title: string, suite: () => void): void {
  const here = isChosen && isPossible && installedTensorflow().length > 0;
  (here ? describe : describe.skip)(title, () => {
    let tensors = 0;
    let usual: TensorflowKernels;
    before(async () => {
      await useBackend('tensorflow');
      usual = tensorflowInfo().kernels;
      await useTensorflowKernels('custom');
    });
    after(async () => {
      await tf.setBackend('tensorflow'); // a failed test may have left another backend
      await useTensorflowKernels(usual);
    });
    beforeEach(() => {
      tensors = tf.memory().numTensors;
    });
    afterEach(() => {
      expect(tf.memory().numTensors, 'tensors left behind').to.equal(tensors);
    });
    suite();
  });
}
