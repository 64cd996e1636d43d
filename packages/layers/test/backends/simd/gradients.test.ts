// The gradients that 'simd' has kernels for against those of the composed ops on tfjs's CPU backend, at
// lengths and sizes that fill their chunks, blocks and vectors and at those that do not.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import {
  type Activation,
  causalConv1d,
  gatedActivation,
  gatedRmsNorm,
  slidingWindowAttention,
  ssdScan,
} from '../../../src/index.js';
import { expectSame, uniform, useSimd } from './both.js';

type Inputs = Record<string, tf.Tensor>;

/** The gradients with respect to all inputs, of the outputs weighted at random. */
function gradients(inputs: Inputs, op: (inputs: Inputs) => tf.Tensor[]): tf.Tensor[] {
  const names = Object.keys(inputs);
  const weighted = (...values: tf.Tensor[]) => {
    const outputs = op(Object.fromEntries(names.map((name, i) => [name, values[i] as tf.Tensor])));
    const sums = outputs.map((y, i) => tf.sum(tf.mul(y, uniform(`weights ${i}`, y.shape))));
    return tf.addN(sums) as tf.Scalar;
  };
  return tf.grads(weighted)(Object.values(inputs));
}

const integer = (min: number, max: number) => fc.integer({ min, max });

describe('simd: gradients as composed on the cpu', function () {
  this.timeout(60_000);
  after(useSimd);

  it('ssdScan over several chunks and blocks of heads', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: integer(1, 2),
          length: fc.oneof(integer(1, 70), fc.constantFrom(32, 33, 64, 96)),
          groups: integer(1, 2),
          perGroup: fc.oneof(integer(1, 3), integer(8, 17)),
          headDim: fc.oneof(integer(1, 9), fc.constantFrom(16, 20)),
          dState: fc.oneof(integer(1, 9), fc.constantFrom(16, 24)),
          skip: fc.constantFrom('none', 'head', 'channel'),
          hasState: fc.boolean(),
          limited: fc.boolean(),
          /** exp(-decay) and far less is left of a state after a token. */
          decay: fc.constantFrom(0.01, 1, 60),
        }),
        ({ batch, length, groups, perGroup, headDim, dState, skip, ...more }) =>
          expectSame(() => {
            const heads = groups * perGroup;
            const D = { none: undefined, head: [heads], channel: [heads, headDim] }[skip];
            const inputs: Inputs = {
              x: uniform('x', [batch, length, heads, headDim]),
              dt: uniform('dt', [batch, length, heads], 2),
              A: tf.mul(tf.sub(uniform('A', [heads], 0.5), 1), more.decay),
              B: uniform('B', [batch, length, groups, dState]),
              C: uniform('C', [batch, length, groups, dState]),
              dtBias: uniform('dtBias', [heads]),
            };
            if (D) inputs.D = uniform('D', D);
            if (more.hasState) inputs.state = uniform('s', [batch, heads, headDim, dState]);
            return gradients(inputs, ({ x, dt, A, B, C, ...options }) => {
              if (!x || !dt || !A || !B || !C) throw new Error('an input is missing');
              const dtLimit = more.limited
                ? ([0.3, 1] as const)
                : ([0, Number.POSITIVE_INFINITY] as const);
              const settings = { dtLimit, chunkSize: 16, returnState: true };
              const { y, state } = ssdScan(x, dt, A, B, C, { ...options, ...settings });
              return state ? [y, state] : [y];
            });
          }, 1e-4),
      ),
      { numRuns: 20 },
    ));

  it('causalConv1d over several blocks of tokens and channels', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: integer(1, 2),
          length: fc.oneof(integer(1, 6), integer(14, 50)),
          channels: fc.oneof(integer(1, 8), fc.constantFrom(64, 68, 130)),
          width: fc.constantFrom(2, 4),
          biased: fc.boolean(),
          hasState: fc.boolean(),
          activation: fc.constantFrom<Activation>('linear', 'silu', 'gelu'),
        }),
        ({ batch, length, channels, width, biased, hasState, activation }) =>
          expectSame(() => {
            const inputs: Inputs = {
              x: uniform('x', [batch, length, channels], 2),
              weight: uniform('w', [channels, width]),
            };
            if (biased) inputs.bias = uniform('b', [channels]);
            if (hasState) inputs.state = uniform('s', [batch, width, channels]);
            return gradients(inputs, ({ x, weight, ...options }) => {
              if (!x || !weight) throw new Error('an input is missing');
              const given = { ...options, activation, returnState: true };
              const { y, state } = causalConv1d(x, weight, given);
              return state ? [y, state] : [y];
            });
          }),
      ),
      { numRuns: 20 },
    ));

  it('gated norms and activations', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          rows: integer(1, 40),
          groups: integer(1, 3),
          groupSize: integer(1, 37),
          normBeforeGate: fc.boolean(),
          activation: fc.constantFrom<Activation>('linear', 'silu', 'gelu'),
        }),
        ({ rows, groups, groupSize, normBeforeGate, activation }) =>
          expectSame(() => {
            const columns = groups * groupSize;
            const inputs: Inputs = {
              x: uniform('x', [rows, columns], 3),
              z: uniform('z', [rows, columns], 4),
              weight: uniform('w', [columns]),
            };
            return gradients(inputs, ({ x, z, weight }) => {
              if (!x || !z || !weight) throw new Error('an input is missing');
              const options = { groupSize, eps: 1e-5, normBeforeGate };
              return [
                gatedRmsNorm(x, z, weight, options),
                gatedActivation(x, z, activation),
                gatedActivation(x, null, activation),
              ];
            });
          }),
      ),
      { numRuns: 20 },
    ));

  it('slidingWindowAttention', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: integer(1, 2),
          length: integer(1, 70),
          kvHeads: integer(1, 2),
          group: integer(1, 3),
          dim: fc.oneof(integer(1, 9), fc.constantFrom(16, 32)),
          window: fc.option(integer(1, 80)),
        }),
        ({ batch, length, kvHeads, group, dim, window }) =>
          expectSame(() => {
            const inputs: Inputs = {
              q: uniform('q', [batch, length, kvHeads * group, dim], 2),
              k: uniform('k', [batch, length, kvHeads, dim], 2),
              v: uniform('v', [batch, length, kvHeads, dim]),
            };
            return gradients(inputs, ({ q, k, v }) => {
              if (!q || !k || !v) throw new Error('an input is missing');
              return [slidingWindowAttention(q, k, v, { window }).y];
            });
          }),
      ),
      { numRuns: 15 },
    ));
});
