// Mamba-2 mixers and gated MLPs against the composed ones on tfjs's CPU backend, with all their options.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { activations, gatedMLP, mamba2Mixer, rowsWeight } from '../../src/index.js';
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
      dMlp: fc.constantFrom(0, 6),
    }),
    mixer,
    { tolerance: 1e-4 },
  );

  it('long inputs in pieces equal the whole', async () => {
    const sizes = { batch: 2, length: 600, hasNorm: true, normBeforeGate: false, dMlp: 0 };
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
