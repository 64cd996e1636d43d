// How one row's products read their weights: every way gives the same bits, and a step chooses one of them.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { asSimd } from '../../../src/backends/simd/backend.js';
import { ARGUMENT_COUNT, JOB_WORDS } from '../../../src/backends/simd/control.js';
import { KernelId } from '../../../src/backends/simd/kernel_ids.js';
import { chooseReading, FIRST_READING } from '../../../src/backends/simd/reading.js';
import type { RecordedJobs } from '../../../src/backends/simd/recorded_jobs.js';
import type { Runtime } from '../../../src/backends/simd/runtime.js';
import {
  disposeWeight,
  type PackedWeight,
  packedMatMul,
  type WeightFormat,
  weightPacker,
} from '../../../src/index.js';
import { uniform, useSimd } from './both.js';

/** All flags. */
const ways: readonly number[] = [0, 1, 2, 3];
const products: readonly KernelId[] = [
  KernelId.MatMulBf16,
  KernelId.MatMulInt8,
  KernelId.MatMulInt4,
];
/** The word of a job that says how it reads. */
const READING = JOB_WORDS - ARGUMENT_COUNT + 22;
const formats: readonly WeightFormat[] = ['bf16', 'int8', 'int4'];

describe('simd: ways of reading a weight', () => {
  let runtime: Runtime;

  before(async () => {
    await useSimd();
    runtime = asSimd(tf.backend()).runtime;
  });

  afterEach(() => {
    runtime.reading = undefined;
  });

  it('give the same bits, which are those of the row among others', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          // Up to 132 panels of 8: pieces of several panels for each of two threads, odd ones too.
          rows: fc.integer({ min: 1, max: 1056 }),
          columns: fc.integer({ min: 1, max: 700 }),
          format: fc.constantFrom(...formats),
        }),
        async ({ rows, columns, format }) => {
          const weight = await packed(rows, columns, format);
          const x = uniform('x', [5, columns]);
          const product = (input: tf.Tensor, way: number) => {
            runtime.reading = way;
            return tf.tidy(() => packedMatMul(input, weight).dataSync());
          };
          const first = tf.slice(x, [0, 0], [1, columns]);
          const expected = product(x, FIRST_READING).slice(0, rows);
          for (const way of ways) expect(product(first, way)).to.deep.equal(expected);
          tf.dispose([x, first]);
          disposeWeight(weight);
        },
      ),
      { numRuns: 60 },
    ));

  it('are chosen by a step that has run, for itself and for what is recorded later', async () => {
    const weights = await Promise.all(formats.map((format) => packed(520, 192, format)));
    const x = uniform('x', [1, 192]);
    const outputs: tf.Tensor[] = [];
    const work = () => {
      for (const weight of weights) outputs.push(packedMatMul(x, weight));
    };
    const temporaries = runtime.allocate(runtime.rehearse(work));
    const step = runtime.record(work, temporaries);
    runtime.replay(step);
    const results = () => outputs.slice(3).map((y) => Float32Array.from(y.dataSync()));
    const before = results();
    expect(readings(runtime, step)).to.deep.equal([FIRST_READING]);

    expect(chooseReading(runtime, step), 'too little to tell').to.equal(undefined);
    expect(runtime.reading).to.equal(undefined);

    const chosen = chooseReading(runtime, step, 1);
    expect(chosen).to.be.oneOf(ways.slice(1));
    expect(runtime.reading).to.equal(chosen);
    expect(readings(runtime, step)).to.deep.equal([chosen]);
    runtime.replay(step);
    expect(results()).to.deep.equal(before);
    const later = runtime.record(work, temporaries);
    expect(readings(runtime, later)).to.deep.equal([chosen]);

    for (const address of [step.address, later.address, temporaries]) runtime.release(address);
    tf.dispose([x, ...outputs]);
    for (const weight of weights) disposeWeight(weight);
  });
});

/** The ways that a recording's products read in. */
function readings(runtime: Runtime, { address, count }: RecordedJobs): number[] {
  const words = runtime.ints(address, count * JOB_WORDS);
  const ways = new Set<number>();
  for (let at = 0; at < words.length; at += JOB_WORDS) {
    const [kernel = -1] = words.subarray(at);
    if (products.includes(kernel)) ways.add(words[at + READING] ?? -1);
  }
  return [...ways];
}

function packed(rows: number, columns: number, format: WeightFormat): Promise<PackedWeight> {
  const bytes = new Uint8Array(Float32Array.from(uniform('w', [rows, columns]).dataSync()).buffer);
  const readRows = (first: number, count: number) =>
    bytes.subarray(first * columns * 4, (first + count) * columns * 4);
  return weightPacker().pack({ shape: [rows, columns], dtype: 'F32', readRows }, format, 64);
}
