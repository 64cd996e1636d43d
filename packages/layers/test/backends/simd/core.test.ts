// tfjs's own ops on 'simd' compared with those of tfjs's CPU backend.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { coreCases } from '../core_cases.js';
import { useSimd } from './both.js';

describe("simd: tfjs's ops as on the cpu", () => {
  after(useSimd);
  coreCases({ use: useSimd, numRuns: 100 });

  it('gather refuses an index out of range', async () => {
    await useSimd();
    for (const place of [4, -1]) {
      const before = tf.memory().numTensors;
      expect(() =>
        tf.tidy(() => tf.gather(tf.zeros([4, 2]), tf.tensor1d([0, place], 'int32'))),
      ).to.throw(/gather.*index/i);
      expect(tf.memory().numTensors).to.equal(before);
    }
  });
});
