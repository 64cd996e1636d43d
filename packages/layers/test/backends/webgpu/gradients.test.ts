// Gradients on 'webgpu', which are composed of tfjs's kernels, against those on tfjs's CPU backend.
import { skipWithoutWebGpu } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import {
  causalConv1d,
  gatedRmsNorm,
  packedMatMul,
  rowsWeight,
  slidingWindowAttention,
  ssdScan,
} from '../../../src/index.js';
import { expectSameAsCpu, uniform } from '../both.js';
import { expectNoGpuErrors, useWebGpu } from './both.js';

/** The gradient of `run` by each of its inputs, of a sum that weighs the outputs. */
function gradients(run: (...inputs: tf.Tensor[]) => tf.Tensor[], inputs: tf.Tensor[]): tf.Tensor[] {
  return tf.grads((...given: tf.Tensor[]) =>
    tf.addN(run(...given).map((y, i) => tf.sum(tf.mul(y, uniform(`dy${i}`, y.shape))))),
  )(inputs);
}

describe('webgpu: gradients as on the cpu', () => {
  before(skipWithoutWebGpu);
  expectNoGpuErrors();

  it('ssdScan, in chunks of more than 8 tokens', () =>
    expectSameAsCpu(
      useWebGpu,
      () =>
        gradients(
          (x, dt, A, B, C) => {
            if (!x || !dt || !A || !B || !C) return [];
            const options = { chunkSize: 16, returnState: true };
            const { y, state } = ssdScan(x, dt, A, B, C, options);
            return state ? [y, state] : [y];
          },
          [
            uniform('x', [2, 21, 2, 3]),
            uniform('dt', [2, 21, 2]),
            tf.tensor1d([-0.7, -0.05]),
            uniform('B', [2, 21, 1, 5]),
            uniform('C', [2, 21, 1, 5]),
          ],
        ),
      5e-5,
    ));

  it('norm, convolution, attention and matrix multiplication', () =>
    expectSameAsCpu(
      useWebGpu,
      () =>
        gradients(
          (x, z, weight, conv, matrix) => {
            if (!x || !z || !weight || !conv || !matrix) return [];
            const options = { groupSize: 6, eps: 1e-5, normBeforeGate: false };
            const normed = gatedRmsNorm(x, z, weight, options);
            const { y } = causalConv1d(normed, conv, { activation: 'silu' });
            const heads = tf.reshape(y, [2, 5, 3, 4]);
            const attended = slidingWindowAttention(heads, heads, heads, { window: 3 }).y;
            const rows = tf.reshape(attended, [2, 5, 12]);
            return [packedMatMul(rows, rowsWeight(matrix), { activation: 'gelu' })];
          },
          [
            uniform('x', [2, 5, 12]),
            uniform('z', [2, 5, 12]),
            uniform('w', [12]),
            uniform('c', [12, 4]),
            uniform('m', [7, 12]),
          ],
        ),
      5e-5,
    ));
});
