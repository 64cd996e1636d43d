// tfjs's own ops on the device compared with those of the CPU backend, and which ops stay on the device.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { asCuda } from '../../../src/backends/cuda/backend.js';
import { coreCases } from '../core_cases.js';
import { describeOnCuda, uniform, useCuda } from './both.js';

describeOnCuda("cuda: tfjs's ops", () => {
  after(useCuda);
  coreCases({ use: useCuda, numRuns: 25 });

  it('keep their outputs on the device', async () => {
    await useCuda();
    tf.tidy(() => {
      const x = tf.add(uniform('x', [4, 6]), 1);
      const parts = tf.split(tf.concat([x, x], 1), 3, 1);
      const y = tf.matMul(
        tf.transpose(
          tf.pad(parts[1] ?? x, [
            [1, 0],
            [0, 1],
          ]),
        ),
        tf.ones([5, 2]),
      );
      const ids = tf.tensor1d([1, 1], 'int32');
      const gathered = [tf.gather(y, ids, 0), tf.gather(y, ids, 1), tf.onesLike(y)];
      for (const tensor of [x, ...parts, y, tf.sum(tf.exp(y), 0), ...gathered]) {
        expect(asCuda(tf.backend()).isNative(tensor)).to.equal(true);
      }
    });
  });
});
