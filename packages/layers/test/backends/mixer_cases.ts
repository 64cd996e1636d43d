// Mamba-2 mixers and gated MLPs with all their options, compared with composed ones on tfjs's CPU backend.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { activations, attentionMixer, gatedMLP, mamba2Mixer, rowsWeight } from '../../src/index.js';
import { expectSameAsCpu, uniform } from './both.js';
import { fuzzOn, integer, type TestedBackend } from './fuzz.js';

export function mixerCases(backend: TestedBackend): void {
  const fuzz = fuzzOn(backend);

  fuzz(
    'gatedMLP, gated and not, normed and not',
    fc.record({
      activation: fc.constantFrom(...activations),
      gated: fc.boolean(),
      normed: fc.boolean(),
    }),
    ({ activation, gated, normed }) => [
      gatedMLP(
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
      ),
    ],
    { numRuns: 12 },
  );

  fuzz(
    'mamba2Mixer, with all its options',
    fc.record({
      batch: integer(1, 2),
      length: integer(1, 7),
      hasState: fc.boolean(),
      hasNorm: fc.boolean(),
      normBeforeGate: fc.boolean(),
      normGroupSize: fc.constantFrom(5, 10, 20),
      dMlp: fc.constantFrom(0, 6),
    }),
    mixer,
    { tolerance: 1e-4 },
  );

  fuzz(
    'attentionMixer, with rotary positions on some of the head or all of it',
    fc.record({
      length: integer(1, 6),
      seen: fc.constantFrom([], [0, 0], [3, 7], [310, 95]),
      frequencies: integer(1, 3),
      window: fc.constantFrom(4, 9, Number.POSITIVE_INFINITY),
    }),
    rotaryMixer,
    { tolerance: 1e-4 },
  );

  it('long inputs give the same result in pieces as at once', async () => {
    const sizes = {
      batch: 2,
      length: 600,
      hasNorm: true,
      normBeforeGate: false,
      normGroupSize: 10,
      dMlp: 0,
    };
    for (const hasState of [true, false]) {
      await expectSameAsCpu(backend.use, () => mixer({ ...sizes, hasState }), 1e-4);
    }
  });
}

function mixer(options: {
  batch: number;
  length: number;
  hasState: boolean;
  hasNorm: boolean;
  normBeforeGate: boolean;
  normGroupSize: number;
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
      normGroupSize: options.normGroupSize,
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

function rotaryMixer(options: {
  length: number;
  seen: readonly number[];
  frequencies: number;
  window: number;
}): tf.Tensor[] {
  const { length, seen, frequencies, window } = options;
  const [batch, dModel, heads, kvHeads, headDim] = [2, 12, 4, 2, 6];
  // A KV cache as long as a short window, or long enough for all tokens of a sequence near its start.
  const capacity = Math.min(window, 16);
  const isFull = window === Number.POSITIVE_INFINITY && Math.max(...seen) > 8;
  const positions = isFull ? [2, 5] : seen;
  const cache = () => uniform('cache', [batch, capacity, kvHeads, headDim]);
  const weights = {
    inProj: rowsWeight(uniform('in', [(heads + 2 * kvHeads) * headDim, dModel])),
    outProj: rowsWeight(uniform('out', [dModel, heads * headDim])),
    rotary: tf.tensor1d([1, 0.1, 0.001].slice(0, frequencies)),
  };
  const sizes = { heads, kvHeads, headDim, window, scale: 0.4 };
  const before = positions.length > 0 ? { k: cache(), v: cache(), positions } : undefined;
  const x = uniform('x', [batch, length, dModel]);
  const { y, cache: after } = attentionMixer(x, weights, sizes, before, x);
  if (!after) return [y];
  // The next token shows what was written to the cache.
  const next = attentionMixer(uniform('next', [batch, 1, dModel]), weights, sizes, after);
  return [y, next.y];
}
