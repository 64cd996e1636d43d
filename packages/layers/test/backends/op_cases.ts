// Ops compared with composed ones on tfjs's CPU backend, for shapes of all kinds.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  type Activation,
  adamWStep,
  causalConv1d,
  crossEntropy,
  embeddingLookup,
  gatedActivation,
  gatedRmsNorm,
  packedMatMul,
  rmsNorm,
  rowsWeight,
  ssdScan,
} from '../../src/index.js';
import { expectSameAsCpu, readValuesOf, uniform } from './both.js';
import { fuzzOn, integer, type TestedBackend } from './fuzz.js';

const activations = fc.constantFrom<Activation>('linear', 'silu', 'gelu');

export function opCases(backend: TestedBackend): void {
  const fuzz = fuzzOn(backend);

  fuzz(
    'rmsNorm and gatedRmsNorm',
    fc.record({
      rows: integer(1, 9),
      groups: integer(1, 4),
      groupSize: integer(1, 37),
      normBeforeGate: fc.boolean(),
      gated: fc.boolean(),
    }),
    ({ rows, groups, groupSize, normBeforeGate, gated }) => {
      const columns = groups * groupSize;
      const x = uniform('x', [rows, columns], 3);
      const weight = uniform('w', [columns]);
      const z = gated ? uniform('z', [rows, columns], 4) : null;
      const options = { groupSize, eps: 1e-5, normBeforeGate };
      return [rmsNorm(x, weight, 1e-5), gatedRmsNorm(x, z, weight, options)];
    },
  );

  fuzz(
    'adamWStep',
    fc.record({
      size: integer(1, 9000),
      scale: fc.constantFrom(1, 0.25),
      weightDecay: fc.constantFrom(0, 0.1),
      step: integer(1, 50),
    }),
    ({ size, scale, weightDecay, step }) => {
      const gradient = uniform('g', [size]);
      const start = {
        variable: uniform('v', [size]),
        mean: uniform('m', [size]),
        square: tf.square(uniform('s', [size])),
      };
      const next = adamWStep(start, gradient, {
        scale,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        meanCorrection: 1 / (1 - 0.9 ** step),
        squareCorrection: 1 / (1 - 0.95 ** step),
        learningRate: 0.01,
        weightDecay,
      });
      // A second step from the outputs of the first one.
      const attrs = { scale: 1, beta1: 0.5, beta2: 0.5, eps: 1e-3, meanCorrection: 1 };
      const more = { squareCorrection: 1, learningRate: 0.1, weightDecay: 0 };
      const last = adamWStep(next, gradient, { ...attrs, ...more });
      return [...Object.values(next), ...Object.values(last)];
    },
  );

  fuzz(
    'gatedActivation',
    fc.record({
      shape: fc.array(integer(1, 9), { minLength: 1, maxLength: 3 }),
      activation: activations,
      gated: fc.boolean(),
    }),
    ({ shape, activation, gated }) => [
      gatedActivation(uniform('x', shape, 6), gated ? uniform('m', shape) : null, activation),
    ],
  );

  fuzz(
    'causalConv1d, with and without a window',
    fc.record({
      batch: integer(1, 3),
      length: integer(1, 9),
      channels: integer(1, 133),
      width: integer(1, 5),
      activation: activations,
      hasBias: fc.boolean(),
      hasState: fc.boolean(),
    }),
    ({ batch, length, channels, width, activation, hasBias, hasState }) => {
      const x = uniform('x', [batch, length, channels]);
      const { y, state } = causalConv1d(x, uniform('w', [channels, width]), {
        bias: hasBias ? uniform('b', [channels]) : undefined,
        state: hasState ? uniform('s', [batch, width, channels]) : undefined,
        activation,
        returnState: true,
      });
      return state ? [y, state] : [y];
    },
  );

  fuzz(
    'ssdScan, one token and many',
    fc.record({
      batch: integer(1, 3),
      length: integer(1, 37),
      groups: integer(1, 2),
      perGroup: integer(1, 3),
      headDim: integer(1, 9),
      dState: integer(1, 18),
      skip: fc.constantFrom('none', 'head', 'channel'),
      hasState: fc.boolean(),
      limited: fc.boolean(),
      dtSoftplus: fc.boolean(),
    }),
    ({ batch, length, groups, perGroup, headDim, dState, skip, ...flags }) => {
      const heads = groups * perGroup;
      const D = { none: undefined, head: [heads], channel: [heads, headDim] }[skip];
      const dt = uniform('dt', [batch, length, heads], 2);
      const { y, state } = ssdScan(
        uniform('x', [batch, length, heads, headDim]),
        flags.dtSoftplus ? dt : tf.abs(dt),
        tf.neg(tf.abs(uniform('A', [heads], 3))),
        uniform('B', [batch, length, groups, dState]),
        uniform('C', [batch, length, groups, dState]),
        {
          D: D && uniform('D', D),
          dtBias: flags.dtSoftplus ? uniform('dtBias', [heads]) : undefined,
          state: flags.hasState ? uniform('s', [batch, heads, headDim, dState]) : undefined,
          dtSoftplus: flags.dtSoftplus,
          dtLimit: flags.limited ? [0.3, 1] : [0, Number.POSITIVE_INFINITY],
          chunkSize: 4,
          returnState: true,
        },
      );
      return state ? [y, state] : [y];
    },
    { tolerance: 5e-5 },
  );

  fuzz(
    'packedMatMul by plain rows',
    fc.record({
      rows: fc.oneof(integer(1, 9), integer(1, 40), integer(190, 200)),
      columns: integer(1, 230),
      outFeatures: integer(1, 70),
      activation: activations,
      hasBias: fc.boolean(),
      hasResidual: fc.boolean(),
    }),
    ({ rows, columns, outFeatures, activation, hasBias, hasResidual }) => {
      const weight = rowsWeight(uniform('w', [outFeatures, columns]));
      const bias = hasBias ? uniform('b', [outFeatures]) : undefined;
      const residual = hasResidual ? uniform('r', [rows, outFeatures]) : undefined;
      return [packedMatMul(uniform('x', [rows, columns]), weight, { bias, activation, residual })];
    },
  );

  it('embeddingLookup and crossEntropy', () =>
    expectSameAsCpu(backend.use, () => {
      const table = rowsWeight(uniform('t', [11, 7]));
      const ids = tf.tensor2d([3, 0, 10, 3], [2, 2], 'int32');
      const logits = uniform('l', [4, 37], 9);
      const targets = tf.tensor1d([36, -1, 0, 5], 'int32');
      const loss = tf.grads((x: tf.Tensor) => tf.sum(crossEntropy(x, targets)));
      const [dlogits = logits] = loss([logits]);
      return [embeddingLookup(ids, table), crossEntropy(logits, targets), dlogits];
    }));

  it('propagates NaN', async () => {
    await backend.use();
    const [y = new Float32Array()] = await readValuesOf(() => {
      const x = tf.tensor2d([Number.NaN, 1, 2, 3], [1, 4]);
      return [packedMatMul(x, rowsWeight(uniform('w', [5, 4])))];
    });
    expect(y.every(Number.isNaN)).to.equal(true);
  });
}
