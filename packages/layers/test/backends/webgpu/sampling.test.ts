// The sampling kernel against the same choice made plainly, in double precision and by sorting.
import { skipWithoutWebGpu } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import seedrandom from 'seedrandom';
import type { WebGpuRuntime } from '../../../src/backends/webgpu/runtime.js';
import { sampleKernel, samplingWords } from '../../../src/backends/webgpu/sampling.wgsl.js';
import { tensorsOf } from '../../../src/backends/webgpu/tensors.js';
import type { SamplingParams } from '../../../src/internal.js';
import { candidates, distribution } from '../sampling_reference.js';
import { expectNoGpuErrors, useWebGpu } from './both.js';

const greedy: SamplingParams = { random: 0, temperature: 0, topK: 0, topP: 1, minP: 0 };

/** The kernel's tokens for rows of logits, of which `vocabulary` count. */
async function sample(
  runtime: WebGpuRuntime,
  rows: readonly Float32Array[],
  vocabulary: number,
  params: readonly SamplingParams[],
): Promise<number[]> {
  const { pool } = runtime;
  const pitch = rows[0]?.length ?? 0;
  const blocks = {
    logits: pool.allocate(rows.length * pitch * 4),
    params: pool.allocate(rows.length * 32),
    tokens: pool.allocate(rows.length * 4),
    output: pool.allocate(rows.length * 4),
    positions: pool.allocate(rows.length * 4),
  };
  rows.forEach((row, i) => {
    runtime.upload(blocks.logits + i * pitch * 4, new Uint8Array(row.slice().buffer));
  });
  runtime.upload(blocks.params, new Uint8Array(samplingWords(params, vocabulary).buffer));
  runtime.upload(blocks.positions, new Uint8Array(Int32Array.from(rows, (_, i) => i).buffer));
  runtime.launch(sampleKernel, [rows.length], blocks, { vocabulary, pitch });
  const [ids, next, positions] = await Promise.all(
    [blocks.output, blocks.tokens, blocks.positions].map(async (address) => {
      const values = new Int32Array(rows.length);
      await runtime.download(new Uint8Array(values.buffer), address);
      return [...values];
    }),
  );
  for (const address of Object.values(blocks)) pool.release(address);
  expect(positions).to.deep.equal(rows.map((_, i) => i + 1));
  expect(next).to.deep.equal(ids?.map((id) => Math.max(id, 0)));
  return ids ?? [];
}

describe('webgpu: sampling', () => {
  before(skipWithoutWebGpu);
  expectNoGpuErrors();
  let runtime: WebGpuRuntime;
  before(async () => {
    await useWebGpu();
    ({ runtime } = tensorsOf(tf.backend()));
  });

  it('draws what the filters leave, ties and all', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          seed: fc.integer(),
          vocabulary: fc.integer({ min: 1, max: 900 }),
          padding: fc.integer({ min: 0, max: 9 }),
          // Coarse logits have ties.
          step: fc.constantFrom(0, 0.5, 4),
          ruledOut: fc.constantFrom(0, 0.3),
          temperature: fc.constantFrom(0.3, 1, 2.5),
          topK: fc.constantFrom(0, 1, 2, 40, 5000),
          topP: fc.constantFrom(0, 0.05, 0.5, 0.9, 0.999, 1),
          minP: fc.constantFrom(0, 0.02, 1),
        }),
        async ({ seed, vocabulary, padding, step, ruledOut, ...filters }) => {
          const random = seedrandom(String(seed));
          const row = Float32Array.from({ length: vocabulary + padding }, (_, id) => {
            if (id >= vocabulary) return 1e9; // never chosen
            const logit = 12 * (random() + random() + random() - 1.5);
            if (random() < ruledOut && id > 0) return Number.NEGATIVE_INFINITY;
            return step > 0 ? Math.round(logit / step) * step : logit;
          });
          const params = [0, 0.999999, random()].map((u) => ({ ...filters, random: u }));
          const rows = params.map(() => row);
          const ids = await sample(runtime, rows, vocabulary, params);
          const kept = distribution(row.subarray(0, vocabulary), params[0] ?? greedy);
          ids.forEach((id, i) => {
            expect(candidates(kept, params[i]?.random ?? 0)).to.include(id);
          });
        },
      ),
      { numRuns: 8 },
    ));

  it('top p of equal weights is not lengthened by rounding', async () => {
    const filters = { random: 0.999999, temperature: 1, topK: 0, minP: 0 };
    const rows = [10, 10, 7].map((n) =>
      new Float32Array(10).fill(Number.NEGATIVE_INFINITY).fill(2, 0, n),
    );
    const params = [0.9, 0.3, 0.5].map((topP) => ({ ...filters, topP }));
    expect(await sample(runtime, rows, 10, params)).to.deep.equal([8, 2, 3]);
  });

  it('is greedy at temperature 0: the lowest of the largest', async () => {
    const row = Float32Array.of(-3, 2, -1, 2, 1.5, 9);
    const rows = [row, row.map((v) => -v)];
    expect(await sample(runtime, rows, 5, [greedy, greedy])).to.deep.equal([1, 0]);
    const zeros = Float32Array.of(-1, -0, 0, -0);
    expect(await sample(runtime, [zeros], 4, [greedy]), '-0 is 0').to.deep.equal([1]);
  });

  it('says where there is no token to choose', async () => {
    const nan = Float32Array.of(1, Number.NaN, 3);
    const none = new Float32Array(3).fill(Number.NEGATIVE_INFINITY);
    const sampled = { ...greedy, temperature: 1, random: 0.5 };
    expect(await sample(runtime, [none, nan], 3, [greedy, sampled])).to.deep.equal([-1, -1]);
    expect(await sample(runtime, [nan], 3, [greedy])).to.deep.equal([2]);
  });
});
