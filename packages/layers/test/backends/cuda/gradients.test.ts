// The gradient kernels of 'cuda' against the composed ones on tfjs's CPU backend, on shapes of all kinds.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { asCuda } from '../../../src/backends/cuda/backend.js';
import {
  type Activation,
  adamWStep,
  causalConv1d,
  embeddingLookup,
  gatedActivation,
  gatedRmsNorm,
  rmsNorm,
  rowsWeight,
  slidingWindowAttention,
  ssdScan,
} from '../../../src/index.js';
import { describeOnEmulated, expectSame, uniform, useCuda, valuesOf } from './both.js';

const activations = fc.constantFrom<Activation>('linear', 'silu', 'gelu');
const runs = { numRuns: 12 };

/** Gradients of the outputs' sum, each number of theirs with a weight of its own, by every input. */
function gradients(inputs: tf.Tensor[], f: (...xs: tf.Tensor[]) => tf.Tensor[]): tf.Tensor[] {
  const loss = (...xs: tf.Tensor[]) =>
    tf.addN(f(...xs).map((y, i) => tf.sum(tf.mul(y, uniform(`dy${i}`, y.shape)))));
  return tf.grads(loss)(inputs);
}

/** The inputs that are there, and a function that finds the n-th of those that could be. */
function given(...candidates: (tf.Tensor | undefined)[]): {
  inputs: tf.Tensor[];
  at: (xs: tf.Tensor[], n: number) => tf.Tensor | undefined;
} {
  const places = candidates.map((_, n) => candidates.slice(0, n).filter(Boolean).length);
  return {
    inputs: candidates.flatMap((x) => x ?? []),
    at: (xs, n) => (candidates[n] ? xs[places[n] ?? 0] : undefined),
  };
}

describeOnEmulated('cuda: gradients as composed on the cpu', () => {
  after(useCuda);

  it('rmsNorm and gatedRmsNorm', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          rows: fc.constantFrom(1, 3, 7, 300),
          groups: fc.integer({ min: 1, max: 4 }),
          groupSize: fc.integer({ min: 1, max: 37 }),
          normBeforeGate: fc.boolean(),
          gated: fc.boolean(),
        }),
        ({ rows, groups, groupSize, normBeforeGate, gated }) => {
          const columns = groups * groupSize;
          return expectSame(() => {
            const inputs = [uniform('x', [rows, columns], 3), uniform('w', [columns])];
            if (gated) inputs.push(uniform('z', [rows, columns], 4));
            const options = { groupSize, eps: 1e-2, normBeforeGate };
            return gradients(inputs, (x = tf.scalar(0), w = x, z) => [
              rmsNorm(x, w, 1e-2),
              gatedRmsNorm(x, z ?? null, w, options),
            ]);
          }, 5e-5);
        },
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
            const inputs = [uniform('x', shape, 6), ...(gated ? [uniform('m', shape)] : [])];
            return gradients(inputs, (x = tf.scalar(0), m) => [
              gatedActivation(x, m ?? null, activation),
            ]);
          }),
      ),
      runs,
    ));

  it('causalConv1d, with and without a window', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: fc.integer({ min: 1, max: 3 }),
          length: fc.constantFrom(1, 2, 5, 9, 70),
          channels: fc.integer({ min: 1, max: 133 }),
          width: fc.integer({ min: 1, max: 6 }),
          activation: activations,
          hasBias: fc.boolean(),
          hasState: fc.boolean(),
          returnState: fc.boolean(),
        }),
        ({ batch, length, channels, width, activation, hasBias, hasState, returnState }) =>
          expectSame(() => {
            const { inputs, at } = given(
              uniform('x', [batch, length, channels]),
              uniform('w', [channels, width]),
              hasBias ? uniform('b', [channels]) : undefined,
              hasState ? uniform('s', [batch, width, channels]) : undefined,
            );
            return gradients(inputs, (...xs) => {
              const [x = tf.scalar(0), w = x] = xs;
              const { y, state } = causalConv1d(x, w, {
                bias: at(xs, 2),
                state: at(xs, 3),
                activation,
                returnState,
              });
              return state ? [y, state] : [y];
            });
          }),
      ),
      runs,
    ));

  it('ssdScan, over several chunks', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: fc.integer({ min: 1, max: 2 }),
          length: fc.constantFrom(1, 2, 31, 32, 33, 75),
          groups: fc.integer({ min: 1, max: 2 }),
          perGroup: fc.integer({ min: 1, max: 2 }),
          headDim: fc.constantFrom(1, 5, 9, 64, 70),
          dState: fc.constantFrom(1, 7, 18, 40),
          skip: fc.constantFrom('none', 'head', 'channel'),
          hasState: fc.boolean(),
          returnState: fc.boolean(),
          limited: fc.boolean(),
          dtSoftplus: fc.boolean(),
        }),
        ({ batch, length, groups, perGroup, headDim, dState, skip, ...flags }) =>
          expectSame(() => {
            const heads = groups * perGroup;
            const D = { none: undefined, head: [heads], channel: [heads, headDim] }[skip];
            const dt = uniform('dt', [batch, length, heads], 2);
            const { inputs, at } = given(
              uniform('x', [batch, length, heads, headDim]),
              flags.dtSoftplus ? dt : tf.abs(dt),
              tf.neg(tf.abs(uniform('A', [heads], 3))),
              uniform('B', [batch, length, groups, dState]),
              uniform('C', [batch, length, groups, dState]),
              D && uniform('D', D),
              flags.dtSoftplus ? uniform('dtBias', [heads]) : undefined,
              flags.hasState ? uniform('s', [batch, heads, headDim, dState]) : undefined,
            );
            return gradients(inputs, (...xs) => {
              const [x = tf.scalar(0), rawDt = x, A = x, B = x, C = x] = xs;
              const { y, state } = ssdScan(x, rawDt, A, B, C, {
                D: at(xs, 5),
                dtBias: at(xs, 6),
                state: at(xs, 7),
                dtSoftplus: flags.dtSoftplus,
                dtLimit: flags.limited ? [0.3, 1] : [0, Number.POSITIVE_INFINITY],
                chunkSize: 16,
                returnState: flags.returnState,
              });
              return state ? [y, state] : [y];
            });
          }, 3e-4),
      ),
      runs,
    ));

  it('slidingWindowAttention', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: fc.integer({ min: 1, max: 2 }),
          length: fc.constantFrom(1, 2, 17, 33, 70),
          kvHeads: fc.integer({ min: 1, max: 2 }),
          group: fc.integer({ min: 1, max: 3 }),
          dim: fc.constantFrom(1, 7, 17, 64, 70, 130),
          window: fc.option(fc.constantFrom(1, 3, 20, 40, 100)),
        }),
        ({ batch, length, kvHeads, group, dim, window }) =>
          expectSame(() => {
            const inputs = [
              uniform('q', [batch, length, kvHeads * group, dim], 2),
              uniform('k', [batch, length, kvHeads, dim], 2),
              uniform('v', [batch, length, kvHeads, dim]),
            ];
            return gradients(inputs, (q = tf.scalar(0), k = q, v = q) => [
              slidingWindowAttention(q, k, v, { window }).y,
            ]);
          }),
      ),
      runs,
    ));

  it('embeddingLookup of ids that come again, and of some that no row has', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 10 }), { minLength: 1, maxLength: 300 }),
        fc.constantFrom(1, 7, 260),
        (ids, columns) =>
          expectSame(() =>
            gradients([uniform('t', [12, columns])], (table = tf.scalar(0)) => [
              embeddingLookup(tf.tensor1d(ids, 'int32'), rowsWeight(table)),
            ]),
          ),
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
            const variable = uniform('v', [size]);
            const mean = uniform('m', [size]);
            const square = tf.square(uniform('s', [size]));
            const next = adamWStep({ variable, mean, square }, uniform('g', [size]), {
              scale,
              beta1: 0.9,
              beta2: 0.95,
              eps: 1e-8,
              meanCorrection: 1 / (1 - 0.9 ** step),
              squareCorrection: 1 / (1 - 0.95 ** step),
              learningRate: 0.01,
              weightDecay,
            });
            return Object.values(next);
          }),
      ),
      runs,
    ));

  it('are launches of kernels of our own', async () => {
    await useCuda();
    const launched = launchesOf(() => {
      const inputs = [uniform('x', [1, 5, 2, 4]), uniform('B', [1, 5, 1, 3])];
      return gradients(inputs, (x = tf.scalar(0), B = x) => {
        const dt = uniform('dt', [1, 5, 2]);
        const scanned = ssdScan(x, dt, tf.tensor1d([-1, -2]), B, B).y;
        return [slidingWindowAttention(scanned, scanned, scanned, { window: 3 }).y];
      });
    });
    expect(launched).to.include.members([
      'scan_grad_states_64',
      'scan_grad_carry',
      'scan_grad_chunks_64',
      'attention_grad_queries_64',
      'attention_grad_keys_64',
    ]);
  });
});

/** The names of the kernels that `run` launches. */
function launchesOf(run: () => tf.Tensor[]): string[] {
  const { runtime } = asCuda(tf.backend());
  const launch = runtime.launch.bind(runtime);
  const names: string[] = [];
  runtime.launch = (name, ...rest) => {
    names.push(name);
    launch(name, ...rest);
  };
  try {
    valuesOf(run);
  } finally {
    runtime.launch = launch;
  }
  return names;
}
