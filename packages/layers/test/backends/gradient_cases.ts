// Gradients compared with those of composed ops on tfjs's CPU backend, for sizes that fill the kernels'
// chunks, blocks and vectors and for sizes that do not.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import {
  type Activation,
  causalConv1d,
  embeddingLookup,
  gatedActivation,
  gatedRmsNorm,
  rmsNorm,
  rowsWeight,
  slidingWindowAttention,
  ssdScan,
} from '../../src/index.js';
import { uniform } from './both.js';
import { fuzzOn, integer, type TestedBackend } from './fuzz.js';

const activations = fc.constantFrom<Activation>('linear', 'silu', 'gelu');

/** Gradients of a weighted sum of the outputs of `run` with respect to every input. */
export function gradients(
  inputs: readonly (tf.Tensor | undefined)[],
  run: () => tf.Tensor[],
): tf.Tensor[] {
  const loss = () => tf.addN(run().map((y, i) => tf.sum(tf.mul(y, uniform(`dy ${i}`, y.shape)))));
  return tf.engine().gradients(
    loss,
    inputs.flatMap((x) => x ?? []),
  ).grads;
}

export function gradientCases(backend: TestedBackend): void {
  const fuzz = fuzzOn(backend);

  fuzz(
    'rmsNorm and gatedRmsNorm',
    fc.record({
      rows: fc.oneof(integer(1, 40), fc.constant(300)),
      groups: integer(1, 4),
      groupSize: integer(1, 37),
      eps: fc.constantFrom(1e-5, 1e-2),
      normBeforeGate: fc.boolean(),
      gated: fc.boolean(),
    }),
    ({ rows, groups, groupSize, eps, normBeforeGate, gated }) => {
      const columns = groups * groupSize;
      const x = uniform('x', [rows, columns], 3);
      const weight = uniform('w', [columns]);
      const z = gated ? uniform('z', [rows, columns], 4) : undefined;
      return gradients([x, weight, z], () => [
        rmsNorm(x, weight, eps),
        gatedRmsNorm(x, z ?? null, weight, { groupSize, eps, normBeforeGate }),
      ]);
    },
    { tolerance: 5e-5 },
  );

  fuzz(
    'gatedActivation',
    fc.record({
      shape: fc.oneof(
        fc.array(integer(1, 9), { minLength: 1, maxLength: 3 }),
        fc.tuple(integer(1, 9), integer(1, 111)),
      ),
      activation: activations,
      gated: fc.boolean(),
    }),
    ({ shape, activation, gated }) => {
      const x = uniform('x', [...shape], 6);
      const gate = gated ? uniform('m', [...shape], 4) : undefined;
      return gradients([x, gate], () => [gatedActivation(x, gate ?? null, activation)]);
    },
  );

  fuzz(
    'causalConv1d over several blocks of tokens and channels',
    fc.record({
      batch: integer(1, 3),
      length: fc.oneof(integer(1, 9), integer(10, 70)),
      channels: fc.oneof(integer(1, 8), integer(1, 133), fc.constantFrom(64, 68, 130)),
      width: integer(1, 6),
      activation: activations,
      hasBias: fc.boolean(),
      hasState: fc.boolean(),
      returnState: fc.boolean(),
    }),
    ({ batch, length, channels, width, activation, hasBias, hasState, returnState }) => {
      const x = uniform('x', [batch, length, channels], 2);
      const weight = uniform('w', [channels, width]);
      const bias = hasBias ? uniform('b', [channels]) : undefined;
      const state = hasState ? uniform('s', [batch, width, channels]) : undefined;
      return gradients([x, weight, bias, state], () => {
        const options = { bias, state, activation, returnState };
        const { y, state: after } = causalConv1d(x, weight, options);
        return after ? [y, after] : [y];
      });
    },
  );

  fuzz(
    'ssdScan over several chunks and blocks of heads',
    fc.record({
      batch: integer(1, 2),
      length: fc.oneof(integer(1, 75), fc.constantFrom(1, 31, 32, 33, 64, 75, 96)),
      groups: integer(1, 2),
      // Many small heads or a few large ones.
      heads: fc.oneof(
        fc.record({
          perGroup: fc.oneof(integer(1, 3), integer(8, 17)),
          headDim: fc.oneof(integer(1, 9), fc.constantFrom(16, 20)),
          dState: fc.oneof(integer(1, 9), fc.constantFrom(16, 24)),
        }),
        fc.record({
          perGroup: integer(1, 2),
          headDim: fc.constantFrom(1, 5, 9, 64, 70),
          dState: fc.constantFrom(1, 7, 18, 40),
        }),
      ),
      skip: fc.constantFrom('none', 'head', 'channel'),
      hasState: fc.boolean(),
      returnState: fc.boolean(),
      limited: fc.boolean(),
      dtSoftplus: fc.boolean(),
      // A token multiplies the state by exp(-decay) or less; for an uneven head by much more for some tokens.
      decay: fc.constantFrom(0.01, 1, 60),
      uneven: fc.boolean(),
    }),
    ({ batch, length, groups, heads: { perGroup, headDim, dState }, skip, ...more }) => {
      const heads = groups * perGroup;
      const DShape = { none: undefined, head: [heads], channel: [heads, headDim] }[skip];
      const x = uniform('x', [batch, length, heads, headDim]);
      const anyDt = uniform('dt', [batch, length, heads], 2);
      const dt = more.dtSoftplus ? anyDt : tf.abs(anyDt);
      const A = more.uneven
        ? tf.neg(tf.abs(uniform('A', [heads], 3 * more.decay)))
        : tf.mul(tf.sub(uniform('A', [heads], 0.5), 1), more.decay);
      const B = uniform('B', [batch, length, groups, dState]);
      const C = uniform('C', [batch, length, groups, dState]);
      const D = DShape && uniform('D', DShape);
      const dtBias = more.dtSoftplus ? uniform('dtBias', [heads]) : undefined;
      const state = more.hasState ? uniform('s', [batch, heads, headDim, dState]) : undefined;
      return gradients([x, dt, A, B, C, D, dtBias, state], () => {
        const { y, state: after } = ssdScan(x, dt, A, B, C, {
          D,
          dtBias,
          state,
          dtSoftplus: more.dtSoftplus,
          dtLimit: more.limited ? [0.3, 1] : [0, Number.POSITIVE_INFINITY],
          chunkSize: 16,
          returnState: more.returnState,
        });
        return after ? [y, after] : [y];
      });
    },
  );

  fuzz(
    'slidingWindowAttention',
    fc.record({
      batch: integer(1, 2),
      length: fc.oneof(integer(1, 70), fc.constantFrom(1, 2, 17, 33, 70)),
      kvHeads: integer(1, 2),
      group: integer(1, 3),
      dim: fc.oneof(integer(1, 9), fc.constantFrom(16, 17, 32, 64, 70, 130)),
      window: fc.option(fc.oneof(integer(1, 80), fc.constantFrom(1, 3, 20, 40, 100))),
    }),
    ({ batch, length, kvHeads, group, dim, window }) => {
      const q = uniform('q', [batch, length, kvHeads * group, dim], 2);
      const k = uniform('k', [batch, length, kvHeads, dim], 2);
      const v = uniform('v', [batch, length, kvHeads, dim]);
      return gradients([q, k, v], () => [slidingWindowAttention(q, k, v, { window }).y]);
    },
  );

  fuzz(
    'embeddingLookup of ids that come again, and of some that no row has',
    fc.record({
      ids: fc.array(integer(0, 10), { minLength: 1, maxLength: 300 }),
      columns: fc.constantFrom(1, 7, 260),
    }),
    ({ ids, columns }) => {
      const table = uniform('t', [12, columns]);
      return gradients([table], () => [
        embeddingLookup(tf.tensor1d(ids, 'int32'), rowsWeight(table)),
      ]);
    },
  );
}
