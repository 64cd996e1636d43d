// The kernels of 'webgpu' on the shapes of real models and on odd ones, against the composed ops on tfjs's CPU
// backend. RENE_TEST_WEBGPU_RUNS=40 tries more of them.
import { skipWithoutWebGpu } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { tensorsOf } from '../../../src/backends/webgpu/tensors.js';
import {
  causalConv1d,
  mamba2Mixer,
  packedMatMul,
  rowsWeight,
  slidingWindowAttention,
  ssdScan,
} from '../../../src/index.js';
import { readValuesOf, uniform, useCpu, valuesOf } from '../both.js';
import { integer } from '../fuzz.js';
import { expectNoGpuErrors, useWebGpu } from './both.js';

const runs = Number(process.env.RENE_TEST_WEBGPU_RUNS ?? 3);
const TOLERANCE = 1e-4;

/** Edges of tiles and chunks, and anything between. */
const lengths = fc.oneof(fc.constantFrom(1, 2, 63, 64, 65, 128, 129, 300), integer(1, 300));
const headDims = fc.oneof(fc.constantFrom(32, 64, 96, 128), integer(32, 128));

/** As many sequences as a software GPU computes soon, up to 9. */
function rowsWithin(budget: number, cost: number, wanted: number): number {
  return Math.max(1, Math.min(wanted, Math.floor(budget / cost)));
}

/** How the kernels are compiled. */
interface Variant {
  title: string;
  numRuns: number;
  workgroup?: number;
  hasSubgroups?: boolean;
}

/** A device in software has small workgroups of its own: the others are tried on it as well. */
const variants: Variant[] = [
  { title: "the device's own kernels", numRuns: runs },
  {
    title: 'workgroups of 64, without subgroups',
    numRuns: Math.ceil(runs / 2),
    workgroup: 64,
    hasSubgroups: false,
  },
];

for (const variant of variants) oddShapes(variant);

function oddShapes({ title: kernels, numRuns, ...traits }: Variant): void {
  /** The same on 'webgpu' as composed on the CPU, relative to the largest number of each output. */
  function same<T>(title: string, cases: fc.Arbitrary<T>, run: (one: T) => tf.Tensor[]): void {
    it(title, () =>
      fc.assert(
        fc.asyncProperty(cases, async (one) => {
          await useCpu();
          const expected = valuesOf(() => run(one));
          await useWebGpu();
          expectRelative(await readValuesOf(() => run(one)), expected);
        }),
        { numRuns },
      ),
    );
  }

  describe(`webgpu: odd shapes as composed on the cpu, ${kernels}`, () => {
    before(skipWithoutWebGpu);
    expectNoGpuErrors();
    before(() => {
      const { runtime } = tensorsOf(tf.backend());
      for (const [name, value] of Object.entries(traits)) {
        Object.defineProperty(runtime, name, { value, configurable: true });
      }
    });
    after(async () => {
      if (process.env.RENE_TEST_WEBGPU !== 'required') return;
      await useWebGpu();
      const { runtime } = tensorsOf(tf.backend());
      for (const name of Object.keys(traits)) Reflect.deleteProperty(runtime, name);
    });

    same(
      'ssdScan',
      fc.record({
        rows: integer(1, 9),
        length: lengths,
        groups: integer(1, 2),
        perGroup: integer(1, 2),
        headDim: headDims,
        dState: fc.oneof(fc.constantFrom(16, 64, 128, 256), integer(16, 256)),
        hasState: fc.boolean(),
      }),
      ({ rows, length, groups, perGroup, headDim, dState, hasState }) => {
        const heads = groups * perGroup;
        const batch = rowsWithin(8e5, length * heads * headDim * dState, rows);
        const { y, state } = ssdScan(
          uniform('x', [batch, length, heads, headDim]),
          uniform('dt', [batch, length, heads], 2),
          tf.neg(tf.abs(uniform('A', [heads], 3))),
          uniform('B', [batch, length, groups, dState]),
          uniform('C', [batch, length, groups, dState]),
          {
            D: uniform('D', [heads]),
            dtBias: uniform('dtBias', [heads]),
            state: hasState ? uniform('s', [batch, heads, headDim, dState]) : undefined,
            dtSoftplus: true,
            chunkSize: 64,
            returnState: true,
          },
        );
        return state ? [y, state] : [y];
      },
    );

    same(
      'slidingWindowAttention',
      fc.record({
        rows: integer(1, 9),
        length: lengths,
        kvHeads: integer(1, 2),
        group: fc.constantFrom(1, 2, 4),
        headDim: headDims,
        window: fc.option(integer(1, 300)),
        seen: fc.option(fc.array(integer(0, 700), { minLength: 9, maxLength: 9 })),
      }),
      ({ rows, length, kvHeads, group, headDim, window, seen }) => {
        const heads = kvHeads * group;
        const keys = Math.min(window ?? length, length);
        const batch = rowsWithin(1e6, length * keys * heads * headDim, rows);
        const q = uniform('q', [batch, length, heads, headDim], 1);
        const k = uniform('k', [batch, length, kvHeads, headDim]);
        const v = uniform('v', [batch, length, kvHeads, headDim]);
        if (!seen || window === null) return [slidingWindowAttention(q, k, v, { window }).y];
        const shape = [batch, window, kvHeads, headDim];
        const positions = seen.slice(0, batch);
        const cache = { k: uniform('rk', shape), v: uniform('rv', shape), positions };
        return [slidingWindowAttention(q, k, v, { window, cache }).y];
      },
    );

    same(
      'one token of sequences with long caches',
      fc.record({
        positions: fc.array(integer(0, 3000), { minLength: 1, maxLength: 9 }),
        kvHeads: integer(1, 2),
        group: fc.constantFrom(1, 4),
        headDim: headDims,
        window: fc.constantFrom(257, 1000, 1024),
      }),
      ({ positions, kvHeads, group, headDim, window }) => {
        const shape = [positions.length, window, kvHeads, headDim];
        const cache = { k: uniform('rk', shape), v: uniform('rv', shape), positions };
        const q = uniform('q', [positions.length, 1, kvHeads * group, headDim], 2);
        const k = uniform('k', [positions.length, 1, kvHeads, headDim]);
        const v = uniform('v', [positions.length, 1, kvHeads, headDim]);
        return [slidingWindowAttention(q, k, v, { window, cache }).y];
      },
    );

    same(
      'causalConv1d',
      fc.record({ batch: integer(1, 9), length: lengths, channels: integer(1, 40) }),
      ({ batch, length, channels }) => {
        const { y, state } = causalConv1d(
          uniform('x', [batch, length, channels]),
          uniform('w', [channels, 4]),
          { bias: uniform('b', [channels]), activation: 'silu', returnState: true },
        );
        return state ? [y, state] : [y];
      },
    );

    same(
      'packedMatMul',
      fc.record({ rows: lengths, columns: integer(1, 600), outFeatures: integer(1, 200) }),
      ({ rows, columns, outFeatures }) => {
        const few = rowsWithin(1e6, rows * columns, outFeatures);
        const weight = rowsWeight(uniform('w', [few, columns]));
        return [packedMatMul(uniform('x', [rows, columns]), weight)];
      },
    );

    same(
      'mamba2Mixer, one token and a few',
      fc.record({
        batch: integer(1, 9),
        heads: fc.constantFrom(2, 4),
        nGroups: integer(1, 2),
        headDim: headDims,
        dState: integer(16, 256),
        isLong: fc.boolean(),
      }),
      ({ batch, heads, nGroups, headDim, dState, isLong }) => {
        const length = isLong ? rowsWithin(20, batch, 20) : 1;
        const dSsm = heads * headDim;
        const convDim = dSsm + 2 * nGroups * dState;
        const dModel = 24;
        const { y, convState, ssmState } = mamba2Mixer(
          uniform('x', [batch, length, dModel]),
          {
            inProj: rowsWeight(uniform('in', [dSsm + convDim + heads, dModel])),
            convWeight: uniform('cw', [convDim, 4]),
            convBias: uniform('cb', [convDim]),
            dtBias: uniform('dtb', [heads]),
            A: tf.neg(tf.abs(uniform('A', [heads], 2))),
            D: uniform('D', [heads]),
            normWeight: uniform('n', [dSsm]),
            outProj: rowsWeight(uniform('out', [dModel, dSsm])),
          },
          {
            ...{ dSsm, dInner: dSsm, headDim, dState, nGroups, chunkSize: 8, eps: 1e-5 },
            ...{ normBeforeGate: false, dtMin: 0, dtMax: Number.POSITIVE_INFINITY },
          },
          {
            convState: uniform('cs', [batch, 4, convDim]),
            ssmState: uniform('ss', [batch, heads, headDim, dState]),
          },
          uniform('r', [batch, length, dModel]),
        );
        return [y, ...(convState && ssmState ? [convState, ssmState] : [])];
      },
    );
  });
}

function expectRelative(found: Float32Array[], expected: Float32Array[]): void {
  expect(found.length).to.equal(expected.length);
  for (const [i, values] of expected.entries()) {
    const largest = values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    const worst = values.reduce(
      (most, v, j) => Math.max(most, Math.abs(v - (found[i]?.[j] ?? Number.NaN))),
      0,
    );
    expect(found[i]?.length, `numbers of output ${i}`).to.equal(values.length);
    expect(worst, `output ${i}, largest ${largest}`).to.be.at.most(TOLERANCE * largest);
  }
}
