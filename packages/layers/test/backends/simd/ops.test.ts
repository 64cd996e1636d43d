// The kernels of 'simd' against the composed ones on tfjs's CPU backend, on shapes of all kinds.
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
  gatedMLP,
  gatedRmsNorm,
  mamba2Mixer,
  packedMatMul,
  rmsNorm,
  rowsWeight,
  slidingWindowAttention,
  ssdScan,
} from '../../../src/index.js';
import { expectSame, uniform, useSimd, valuesOf } from './both.js';

const activations = fc.constantFrom<Activation>('linear', 'silu', 'gelu');
const runs = { numRuns: 25 };

describe('simd: ops as composed on the cpu', () => {
  after(useSimd);

  it('rmsNorm and gatedRmsNorm', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          rows: fc.integer({ min: 1, max: 9 }),
          groups: fc.integer({ min: 1, max: 4 }),
          groupSize: fc.integer({ min: 1, max: 37 }),
          normBeforeGate: fc.boolean(),
          gated: fc.boolean(),
        }),
        ({ rows, groups, groupSize, normBeforeGate, gated }) => {
          const columns = groups * groupSize;
          return expectSame(() => {
            const x = uniform('x', [rows, columns], 3);
            const weight = uniform('w', [columns]);
            const z = gated ? uniform('z', [rows, columns], 4) : null;
            const options = { groupSize, eps: 1e-5, normBeforeGate };
            return [rmsNorm(x, weight, 1e-5), gatedRmsNorm(x, z, weight, options)];
          });
        },
      ),
      runs,
    ));

  it('adamWStep', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          size: fc.integer({ min: 1, max: 9000 }),
          scale: fc.constantFrom(1, 0.25),
          weightDecay: fc.constantFrom(0, 0.1),
          step: fc.integer({ min: 1, max: 50 }),
        }),
        ({ size, scale, weightDecay, step }) =>
          expectSame(() => {
            const [variable, mean, gradient] = ['v', 'm', 'g'].map((s) => uniform(s, [size]));
            const square = tf.square(uniform('s', [size]));
            if (!variable || !mean || !gradient) throw new Error('three tensors');
            const next = adamWStep({ variable, mean, square }, gradient, {
              scale,
              beta1: 0.9,
              beta2: 0.95,
              eps: 1e-8,
              meanCorrection: 1 / (1 - 0.9 ** step),
              squareCorrection: 1 / (1 - 0.95 ** step),
              learningRate: 0.01,
              weightDecay,
            });
            // A second step from the first one's outputs.
            const attrs = { scale: 1, beta1: 0.5, beta2: 0.5, eps: 1e-3, meanCorrection: 1 };
            const more = { squareCorrection: 1, learningRate: 0.1, weightDecay: 0 };
            const last = adamWStep(next, gradient, { ...attrs, ...more });
            return [...Object.values(next), ...Object.values(last)];
          }),
      ),
      runs,
    ));

  it('gatedActivation', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }),
        activations,
        fc.boolean(),
        (shape, activation, gated) =>
          expectSame(() => {
            const x = uniform('x', shape, 6);
            return [gatedActivation(x, gated ? uniform('m', shape) : null, activation)];
          }),
      ),
      runs,
    ));

  it('causalConv1d, with and without a window', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: fc.integer({ min: 1, max: 3 }),
          length: fc.integer({ min: 1, max: 9 }),
          channels: fc.integer({ min: 1, max: 133 }),
          width: fc.integer({ min: 1, max: 5 }),
          activation: activations,
          hasBias: fc.boolean(),
          hasState: fc.boolean(),
        }),
        ({ batch, length, channels, width, activation, hasBias, hasState }) =>
          expectSame(() => {
            const { y, state } = causalConv1d(
              uniform('x', [batch, length, channels]),
              uniform('w', [channels, width]),
              {
                bias: hasBias ? uniform('b', [channels]) : undefined,
                state: hasState ? uniform('s', [batch, width, channels]) : undefined,
                activation,
                returnState: true,
              },
            );
            return state ? [y, state] : [y];
          }),
      ),
      runs,
    ));

  it('ssdScan, one token and many', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: fc.integer({ min: 1, max: 3 }),
          length: fc.integer({ min: 1, max: 37 }),
          groups: fc.integer({ min: 1, max: 2 }),
          perGroup: fc.integer({ min: 1, max: 3 }),
          headDim: fc.integer({ min: 1, max: 9 }),
          dState: fc.integer({ min: 1, max: 18 }),
          skip: fc.constantFrom('none', 'head', 'channel'),
          hasState: fc.boolean(),
          limited: fc.boolean(),
          dtSoftplus: fc.boolean(),
        }),
        ({ batch, length, groups, perGroup, headDim, dState, skip, ...flags }) =>
          expectSame(() => {
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
          }, 5e-5),
      ),
      runs,
    ));

  it('slidingWindowAttention without a ring', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: fc.integer({ min: 1, max: 2 }),
          length: fc.integer({ min: 1, max: 41 }),
          kvHeads: fc.integer({ min: 1, max: 3 }),
          group: fc.integer({ min: 1, max: 3 }),
          dim: fc.integer({ min: 1, max: 17 }),
          window: fc.option(fc.integer({ min: 1, max: 44 })),
        }),
        ({ batch, length, kvHeads, group, dim, window }) =>
          expectSame(() => {
            const q = uniform('q', [batch, length, kvHeads * group, dim], 2);
            const k = uniform('k', [batch, length, kvHeads, dim], 2);
            const v = uniform('v', [batch, length, kvHeads, dim]);
            return [slidingWindowAttention(q, k, v, { window }).y];
          }),
      ),
      runs,
    ));

  it('slidingWindowAttention with a ring, rows at their own positions', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          positions: fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 3 }),
          length: fc.integer({ min: 1, max: 14 }),
          kvHeads: fc.integer({ min: 1, max: 3 }),
          group: fc.integer({ min: 1, max: 2 }),
          dim: fc.integer({ min: 1, max: 9 }),
          window: fc.integer({ min: 1, max: 20 }),
        }),
        ({ positions, length, kvHeads, group, dim, window }) =>
          expectSame(() => {
            const batch = positions.length;
            const ring = {
              k: uniform('rk', [batch, window, kvHeads, dim]),
              v: uniform('rv', [batch, window, kvHeads, dim]),
              positions,
            };
            const q = uniform('q', [batch, length, kvHeads * group, dim], 2);
            const k = uniform('k', [batch, length, kvHeads, dim], 2);
            const v = uniform('v', [batch, length, kvHeads, dim]);
            const { y, ring: after } = slidingWindowAttention(q, k, v, { window, ring });
            if (!after) return [y];
            // Slots that no token has reached yet may hold anything.
            return [y, used(after.k, after.positions), used(after.v, after.positions)];
          }),
      ),
      runs,
    ));

  it('packedMatMul by plain rows', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          rows: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 190, max: 200 })),
          columns: fc.integer({ min: 1, max: 230 }),
          outFeatures: fc.integer({ min: 1, max: 70 }),
          activation: activations,
          hasBias: fc.boolean(),
          hasResidual: fc.boolean(),
        }),
        ({ rows, columns, outFeatures, activation, hasBias, hasResidual }) =>
          expectSame(() => [
            packedMatMul(
              uniform('x', [rows, columns]),
              rowsWeight(uniform('w', [outFeatures, columns])),
              {
                bias: hasBias ? uniform('b', [outFeatures]) : undefined,
                activation,
                residual: hasResidual ? uniform('r', [rows, outFeatures]) : undefined,
              },
            ),
          ]),
      ),
      runs,
    ));

  it('embeddingLookup and crossEntropy', () =>
    expectSame(() => {
      const table = rowsWeight(uniform('t', [11, 7]));
      const ids = tf.tensor2d([3, 0, 10, 3], [2, 2], 'int32');
      const logits = uniform('l', [4, 37], 9);
      const targets = tf.tensor1d([36, -1, 0, 5], 'int32');
      const loss = tf.grads((x: tf.Tensor) => tf.sum(crossEntropy(x, targets)));
      const [dlogits = logits] = loss([logits]);
      return [embeddingLookup(ids, table), crossEntropy(logits, targets), dlogits];
    }));

  it('gatedMLP, gated and not, normed and not', () =>
    fc.assert(
      fc.asyncProperty(activations, fc.boolean(), fc.boolean(), (activation, gated, normed) =>
        expectSame(() => {
          const y = gatedMLP(
            uniform('x', [2, 3, 20]),
            {
              inProj: rowsWeight(uniform('in', [33, 20])),
              inProjBias: uniform('inb', [33]),
              gateProj: gated ? rowsWeight(uniform('gate', [33, 20])) : undefined,
              gateProjBias: gated ? uniform('gateb', [33]) : undefined,
              normWeight: normed ? uniform('n', [33]) : undefined,
              outProj: rowsWeight(uniform('out', [20, 33])),
              outProjBias: uniform('outb', [20]),
            },
            { activation, residual: uniform('r', [2, 3, 20]) },
          );
          return [y];
        }),
      ),
      { numRuns: 12 },
    ));

  it('mamba2Mixer, with all its options', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: fc.integer({ min: 1, max: 2 }),
          length: fc.integer({ min: 1, max: 7 }),
          hasState: fc.boolean(),
          hasNorm: fc.boolean(),
          normBeforeGate: fc.boolean(),
          dMlp: fc.constantFrom(0, 6),
        }),
        (options) => expectSame(() => mixer(options), 1e-4),
      ),
      runs,
    ));

  it('long inputs in pieces equal the whole', async () => {
    const sizes = { batch: 2, hasNorm: true, normBeforeGate: false, dMlp: 0 };
    await expectSame(() => mixer({ ...sizes, length: 600, hasState: true }), 1e-4);
    await expectSame(() => mixer({ ...sizes, length: 600, hasState: false }), 1e-4);
  });

  it('keeps NaN visible', async () => {
    await useSimd();
    const [y = new Float32Array()] = valuesOf(() => {
      const x = tf.tensor2d([Number.NaN, 1, 2, 3], [1, 4]);
      return [packedMatMul(x, rowsWeight(uniform('w', [5, 4])))];
    });
    expect(y.every(Number.isNaN)).to.equal(true);
  });
});

/** The slots of a ring that hold a token, the others 0. */
function used(ring: tf.Tensor, positions: readonly number[]): tf.Tensor {
  const [batch = 0, capacity = 0] = ring.shape;
  const mask = new Float32Array(batch * capacity);
  positions.forEach((position, row) => {
    mask.fill(1, row * capacity, row * capacity + Math.min(position, capacity));
  });
  return tf.mul(ring, tf.tensor4d(mask, [batch, capacity, 1, 1]));
}

function mixer(options: {
  batch: number;
  length: number;
  hasState: boolean;
  hasNorm: boolean;
  normBeforeGate: boolean;
  dMlp: number;
}): tf.Tensor[] {
  const { batch, length, dMlp } = options;
  const [dModel, heads, headDim, dState, nGroups, width] = [12, 4, 5, 6, 2, 4];
  const dSsm = heads * headDim;
  const dInner = dSsm + dMlp;
  const convDim = dSsm + 2 * nGroups * dState;
  const projection = 2 * dMlp + dSsm + convDim + heads;
  const { y, convState, ssmState } = mamba2Mixer(
    uniform('x', [batch, length, dModel]),
    {
      inProj: rowsWeight(uniform('in', [projection, dModel])),
      convWeight: uniform('cw', [convDim, width]),
      convBias: uniform('cb', [convDim]),
      dtBias: uniform('dtb', [heads]),
      A: tf.neg(tf.abs(uniform('A', [heads], 2))),
      D: uniform('D', [heads]),
      normWeight: options.hasNorm ? uniform('n', [dSsm]) : undefined,
      outProj: rowsWeight(uniform('out', [dModel, dInner])),
    },
    {
      dSsm,
      dInner,
      headDim,
      dState,
      nGroups,
      normBeforeGate: options.normBeforeGate,
      eps: 1e-5,
      dtMin: 0,
      dtMax: Number.POSITIVE_INFINITY,
      chunkSize: 4,
    },
    options.hasState
      ? {
          convState: uniform('cs', [batch, width, convDim]),
          ssmState: uniform('ss', [batch, heads, headDim, dState]),
        }
      : undefined,
    uniform('r', [batch, length, dModel]),
  );
  return [y, ...(convState && ssmState ? [convState, ssmState] : [])];
}
