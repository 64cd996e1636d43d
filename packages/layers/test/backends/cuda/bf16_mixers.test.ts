// Mixers with bf16 activations between their kernels, compared with the same values as f32 weights.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { asCuda } from '../../../src/backends/cuda/backend.js';
import {
  type Activation,
  attentionMixer,
  disposeWeight,
  gatedMLP,
  mamba2Mixer,
  type PackedWeight,
  rowsWeight,
  type WeightFormat,
  weightPacker,
} from '../../../src/index.js';
import { describeOnCuda, uniform, useCuda, valuesOf } from './both.js';

const formats = fc.constantFrom<WeightFormat>('bf16', 'f16', 'int8', 'int4');
const runs = { numRuns: 12 };

describeOnCuda('cuda: mixers of many tokens', () => {
  before(useCuda);

  /** Packed weights, and the same values as f32 rows. */
  async function both(name: string, shape: [number, number], format: WeightFormat) {
    const tensor = uniform(name, shape, 2 / Math.sqrt(shape[1]));
    const values = Float32Array.from(tensor.dataSync());
    tensor.dispose();
    const columns = shape[1];
    const readRows = (first: number, count: number) =>
      new Uint8Array(values.slice(first * columns, (first + count) * columns).buffer);
    const packed = await weightPacker().pack({ shape, dtype: 'F32', readRows }, format, 32);
    return { packed, plain: rowsWeight(tf.tensor2d(await weightPacker().unpack(packed), shape)) };
  }

  /** Runs with packed weights and with f32 rows. The results agree within 1e-2. */
  async function expectRoundedAlike(
    shapes: Record<string, [number, number]>,
    format: WeightFormat,
    run: (weights: (name: string) => PackedWeight) => tf.Tensor[],
  ): Promise<string[]> {
    const weights = new Map<string, Awaited<ReturnType<typeof both>>>();
    for (const [name, shape] of Object.entries(shapes)) {
      weights.set(name, await both(name, shape, format));
    }
    const by = (kind: 'packed' | 'plain') => (name: string) => {
      const weight = weights.get(name);
      if (!weight) throw new Error(`no weight ${name}`);
      return weight[kind];
    };
    const exact = valuesOf(() => run(by('plain')));
    const launched: string[] = [];
    const { runtime } = asCuda(tf.backend());
    const launch = runtime.launch.bind(runtime);
    runtime.launch = (kernel, ...rest) => {
      launched.push(kernel);
      launch(kernel, ...rest);
    };
    let found: Float32Array[];
    try {
      found = valuesOf(() => run(by('packed')));
    } finally {
      runtime.launch = launch;
    }
    for (const { packed, plain } of weights.values()) {
      disposeWeight(packed);
      disposeWeight(plain);
    }
    exact.forEach((values, i) => {
      const error = deviation(found[i] ?? new Float32Array(), values);
      expect(error, `output ${i} of ${format}`).to.be.below(1e-2);
      expect(error, 'something is rounded').to.be.above(0);
    });
    return launched;
  }

  const hands = (format: WeightFormat) => format !== 'f16';

  it('mamba2Mixer', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: fc.integer({ min: 1, max: 2 }),
          length: fc.integer({ min: 64, max: 90 }),
          dModel: fc.constantFrom(20, 32),
          headDim: fc.constantFrom(5, 8, 16),
          dState: fc.constantFrom(6, 16, 130),
          dMlp: fc.constantFrom(0, 6, 32),
          hasNorm: fc.boolean(),
          normBeforeGate: fc.boolean(),
          hasState: fc.boolean(),
        }),
        formats,
        async ({ batch, length, dModel, headDim, dState, dMlp, ...options }, format) => {
          const [heads, nGroups, width] = [4, 2, 4];
          const dSsm = heads * headDim;
          const dInner = dSsm + dMlp;
          const convDim = dSsm + 2 * nGroups * dState;
          const launched = await expectRoundedAlike(
            {
              inProj: [2 * dMlp + dSsm + convDim + heads, dModel],
              outProj: [dModel, dInner],
            },
            format,
            (weight) => {
              const { y, convState, ssmState } = mamba2Mixer(
                uniform('x', [batch, length, dModel]),
                {
                  inProj: weight('inProj'),
                  inProjBias: uniform('inb', [2 * dMlp + dSsm + convDim + heads]),
                  convWeight: uniform('cw', [convDim, width]),
                  convBias: uniform('cb', [convDim]),
                  dtBias: uniform('dtb', [heads]),
                  A: tf.neg(tf.abs(uniform('A', [heads], 2))),
                  D: uniform('D', [heads]),
                  normWeight: options.hasNorm ? uniform('n', [dSsm]) : undefined,
                  outProj: weight('outProj'),
                },
                {
                  ...{ dSsm, dInner, headDim, dState, nGroups, eps: 1e-5 },
                  normBeforeGate: options.normBeforeGate,
                  dtMin: 0,
                  dtMax: Number.POSITIVE_INFINITY,
                  chunkSize: 64,
                },
                options.hasState
                  ? {
                      convState: uniform('cs', [batch, width, convDim]),
                      ssmState: uniform('ss', [batch, heads, headDim, dState]),
                    }
                  : undefined,
                uniform('r', [batch, length, dModel]),
              );
              return convState && ssmState ? [y, convState, ssmState] : [y];
            },
          );
          const scan = dState > 128 ? 'ssd_scan_256' : 'ssd_chunks_64';
          const type = hands(format) ? '_bf16' : '';
          expect(launched).to.include(`causal_conv1d${type}`).and.include(`${scan}${type}`);
        },
      ),
      runs,
    ));

  it('attentionMixer, with and without a cache', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          positions: fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 2 }),
          length: fc.integer({ min: 64, max: 90 }),
          kvHeads: fc.integer({ min: 1, max: 2 }),
          group: fc.integer({ min: 1, max: 2 }),
          headDim: fc.constantFrom(8, 13, 16, 130),
          window: fc.constantFrom(20, 70, 200),
          hasCache: fc.boolean(),
        }),
        formats,
        async ({ positions, length, kvHeads, group, headDim, window, hasCache }, format) => {
          const [batch, dModel, heads] = [positions.length, 32, kvHeads * group];
          const projection = (heads + 2 * kvHeads) * headDim;
          const cacheShape = [batch, Math.min(window, 60), kvHeads, headDim];
          const launched = await expectRoundedAlike(
            { inProj: [projection, dModel], outProj: [dModel, heads * headDim] },
            format,
            (weight) => {
              const { y, cache } = attentionMixer(
                uniform('x', [batch, length, dModel]),
                {
                  inProj: weight('inProj'),
                  inProjBias: uniform('inb', [projection]),
                  outProj: weight('outProj'),
                  outProjBias: uniform('outb', [dModel]),
                },
                { heads, kvHeads, headDim, window, scale: 1 / Math.sqrt(headDim) },
                hasCache
                  ? { k: uniform('rk', cacheShape), v: uniform('rv', cacheShape), positions }
                  : undefined,
                uniform('r', [batch, length, dModel]),
              );
              // Unused slots of the cache may contain anything.
              const slots = Math.min(window, length);
              const used = (t: tf.Tensor) => tf.slice(t, 0, [batch, slots, kvHeads, headDim]);
              return cache ? [y, used(cache.k), used(cache.v)] : [y];
            },
          );
          expect(launched).to.include(
            headDim > 128 ? `attend${hands(format) ? '_bf16' : ''}` : 'attend_tile_64',
          );
          // The output is written in the input format of out_proj.
          const narrowed = launched.filter((name) => name === 'narrow_rows').length;
          expect(narrowed).to.equal((heads * headDim) % 32 === 0 ? 1 : 2);
        },
      ),
      runs,
    ));

  it('gatedMLP, with and without gate and norm, also few tokens of many rows', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom<[number, number]>([1, 64], [2, 70], [12, 1]),
        fc.constantFrom(32, 45),
        fc.constantFrom<Activation>('silu', 'gelu'),
        fc.boolean(),
        fc.boolean(),
        formats,
        async ([batch, length], hidden, activation, gated, normed, format) => {
          const dModel = 32;
          const launched = await expectRoundedAlike(
            { inProj: [hidden, dModel], gateProj: [hidden, dModel], outProj: [dModel, hidden] },
            format,
            (weight) => [
              gatedMLP(
                uniform('x', [batch, length, dModel]),
                {
                  inProj: weight('inProj'),
                  inProjBias: uniform('inb', [hidden]),
                  gateProj: gated ? weight('gateProj') : undefined,
                  normWeight: normed ? uniform('n', [hidden]) : undefined,
                  outProj: weight('outProj'),
                  outProjBias: uniform('outb', [dModel]),
                },
                { activation, residual: uniform('r', [batch, length, dModel]) },
              ),
            ],
          );
          const type = hands(format) && length > 1 ? '_bf16' : '';
          if (gated) expect(launched).to.include(`activate_rows${type}`);
          if (normed) expect(launched).to.include(`norm_rows${type}`);
        },
      ),
      { numRuns: 24 },
    ));

  it("a row's result does not depend on the batch", async () => {
    const { packed, plain } = await both('w', [40, 32], 'bf16');
    const out = await both('o', [32, 40], 'bf16');
    const run = (rows: number) =>
      valuesOf(() => {
        const x = tf.slice(uniform('x', [3, 64, 32]), [0, 0, 0], [rows, -1, -1]);
        return [gatedMLP(x, { inProj: packed, outProj: out.packed })];
      })[0] ?? new Float32Array();
    const [one, three] = [run(1), run(3)];
    expect([...three.subarray(0, one.length)]).to.deep.equal([...one]);
    for (const weight of [packed, plain, out.packed, out.plain]) disposeWeight(weight);
  });
});

/** The root mean square error relative to the root mean square of the expected values. */
function deviation(found: Float32Array, expected: Float32Array): number {
  expect(found.length).to.equal(expected.length);
  const square = (sum: number, value: number) => sum + value * value;
  const differences = expected.map((value, i) => value - (found[i] ?? Number.NaN));
  return Math.sqrt(differences.reduce(square, 0) / expected.reduce(square, 0));
}
