// 'webgpu' on devices with small limits: of workgroups a dimension, of buffers a kernel.
import { currentGpuDevice, limitDevice, skipWithoutWebGpu } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import {
  attentionMixer,
  causalConv1d,
  crossEntropy,
  embeddingLookup,
  packedMatMul,
  rmsNorm,
  rowsWeight,
  slidingWindowAttention,
  ssdScan,
} from '../../../src/index.js';
import { expectSameAsCpu, uniform } from '../both.js';
import { expectNoGpuErrors, useWebGpu } from './both.js';

type Limits = Parameters<typeof limitDevice>[1];

/** `run` gives on a device with these limits what it gives on the CPU. @returns the most buffers of a launch */
async function sameWithin(limits: Limits, run: () => tf.Tensor[]): Promise<number> {
  await useWebGpu();
  const limited = limitDevice(currentGpuDevice(), limits);
  try {
    await expectSameAsCpu(useWebGpu, run, 5e-5);
    return limited.mostBuffers();
  } finally {
    limited.restore();
  }
}

describe('webgpu: small limits', () => {
  before(skipWithoutWebGpu);
  expectNoGpuErrors();

  it('more rows and tokens than workgroups a dimension', async () => {
    const most = { maxComputeWorkgroupsPerDimension: 5 };
    const rows = 2 * 64 * 5 + 7;
    await sameWithin(most, () => {
      const x = uniform('x', [rows, 12]);
      const table = rowsWeight(uniform('w', [70, 12]));
      const logits = packedMatMul(x, table);
      const few = packedMatMul(uniform('few', [2, 12]), table);
      const targets = tf.range(0, 13, 1, 'int32');
      const convolved = causalConv1d(tf.reshape(x, [1, rows, 12]), uniform('c', [12, 4]));
      return [
        ...[logits, few, rmsNorm(x, uniform('n', [12]), 1e-5), convolved.y],
        ...[crossEntropy(tf.slice(logits, 0, 13), targets), embeddingLookup(targets, table)],
      ];
    });
  });

  it('attention: more tokens than workgroups a dimension, with rotary positions and a cache', async () => {
    const most = { maxComputeWorkgroupsPerDimension: 5 };
    const shape = [2, 17, 2, 4];
    await sameWithin(most, () => {
      const [q, k, v] = [uniform('q', shape), uniform('k', shape), uniform('v', shape)];
      const x = uniform('x', [2, 17, 12]);
      const weights = {
        inProj: rowsWeight(uniform('in', [24, 12])),
        outProj: rowsWeight(uniform('out', [12, 8])),
        rotary: tf.tensor1d([1, 0.1]),
      };
      const sizes = { heads: 2, kvHeads: 2, headDim: 4, window: 13, scale: 0.4 };
      const cache = () => uniform('cache', [2, 13, 2, 4]);
      const before = { k: cache(), v: cache(), positions: [3, 30] };
      const mixed = attentionMixer(x, weights, sizes, before, x);
      // The next token shows what was written to the cache.
      const next =
        mixed.cache && attentionMixer(uniform('t', [2, 1, 12]), weights, sizes, mixed.cache);
      const { y } = slidingWindowAttention(q, k, v, { window: 9 });
      return [y, mixed.y, ...(next ? [next.y] : [])];
    });
  });

  for (const length of [1, 40]) {
    it(`ssdScan of ${length} tokens with each input in a buffer of its own`, async () => {
      const buffers = await sameWithin({ maxStorageBuffersPerShaderStage: 8 }, () => {
        const before = uniform('s', [1, 2, 8, 16]);
        // With another owner it is not overwritten.
        tf.clone(before);
        const { y, state } = ssdScan(
          uniform('x', [1, length, 2, 8]),
          uniform('dt', [1, length, 2]),
          tf.tensor1d([-0.5, -2]),
          uniform('B', [1, length, 1, 16]),
          uniform('C', [1, length, 1, 16]),
          {
            ...{ D: uniform('D', [2]), dtBias: uniform('b', [2]), dtSoftplus: true },
            ...{ state: before, returnState: true },
          },
        );
        return state ? [y, state] : [y];
      });
      expect(buffers).to.be.at.most(8);
    });
  }
});
