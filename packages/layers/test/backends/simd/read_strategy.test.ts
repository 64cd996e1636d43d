// Read strategies of matmuls with one row: results are bitwise identical, and a step chooses a strategy.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { KernelId } from '../../../assembly/kernel_ids.js';
import { MatMulArg } from '../../../assembly/matmul/args.js';
import { asSimd } from '../../../src/backends/simd/backend.js';
import { JOB_ARGUMENTS, JOB_WORDS } from '../../../src/backends/simd/control.js';
import { chooseReadStrategy, FIRST_STRATEGY } from '../../../src/backends/simd/read_strategy.js';
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

/** All combinations of flags. */
const strategies: readonly number[] = [0, 1, 2, 3];
const matMuls: readonly KernelId[] = [
  KernelId.MatMulBf16,
  KernelId.MatMulInt8,
  KernelId.MatMulInt4,
];
/** The argument of a job that holds the strategy. */
const STRATEGY = JOB_ARGUMENTS + MatMulArg.readStrategy;
const formats: readonly WeightFormat[] = ['bf16', 'int8', 'int4'];

describe('simd: read strategies', () => {
  let runtime: Runtime;

  before(async () => {
    await useSimd();
    runtime = asSimd(tf.backend()).runtime;
  });

  afterEach(() => {
    runtime.readStrategy = undefined;
  });

  it('give bitwise the same result as the row has in a batch', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          // Up to 132 panels of 8: both threads read several panels, sometimes an odd number.
          rows: fc.integer({ min: 1, max: 1056 }),
          columns: fc.integer({ min: 1, max: 700 }),
          format: fc.constantFrom(...formats),
        }),
        async ({ rows, columns, format }) => {
          const weight = await packed(rows, columns, format);
          const x = uniform('x', [5, columns]);
          const product = (input: tf.Tensor, strategy: number) => {
            runtime.readStrategy = strategy;
            return tf.tidy(() => packedMatMul(input, weight).dataSync());
          };
          const first = tf.slice(x, [0, 0], [1, columns]);
          const expected = product(x, FIRST_STRATEGY).slice(0, rows);
          for (const strategy of strategies) {
            expect(product(first, strategy)).to.deep.equal(expected);
          }
          tf.dispose([x, first]);
          disposeWeight(weight);
        },
      ),
      { numRuns: 60 },
    ));

  it('are chosen by a step that has run, for itself and for later recordings', async () => {
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
    expect(strategiesOf(runtime, step)).to.deep.equal([FIRST_STRATEGY]);

    expect(chooseReadStrategy(runtime, step), 'too little to tell').to.equal(undefined);
    expect(runtime.readStrategy).to.equal(undefined);

    const chosen = chooseReadStrategy(runtime, step, 1);
    expect(chosen).to.be.oneOf(strategies.slice(1));
    expect(runtime.readStrategy).to.equal(chosen);
    expect(strategiesOf(runtime, step)).to.deep.equal([chosen]);
    runtime.replay(step);
    expect(results()).to.deep.equal(before);
    const later = runtime.record(work, temporaries);
    expect(strategiesOf(runtime, later)).to.deep.equal([chosen]);

    for (const address of [step.address, later.address, temporaries]) runtime.release(address);
    tf.dispose([x, ...outputs]);
    for (const weight of weights) disposeWeight(weight);
  });
});

/** The strategies of a recording's matmuls. */
function strategiesOf(runtime: Runtime, { address, count }: RecordedJobs): number[] {
  const words = runtime.ints(address, count * JOB_WORDS);
  const found = new Set<number>();
  for (let at = 0; at < words.length; at += JOB_WORDS) {
    const [kernel = -1] = words.subarray(at);
    if (matMuls.includes(kernel)) found.add(words[at + STRATEGY] ?? -1);
  }
  return [...found];
}

function packed(rows: number, columns: number, format: WeightFormat): Promise<PackedWeight> {
  const bytes = new Uint8Array(Float32Array.from(uniform('w', [rows, columns]).dataSync()).buffer);
  const readRows = (first: number, count: number) =>
    bytes.subarray(first * columns * 4, (first + count) * columns * 4);
  return weightPacker().pack({ shape: [rows, columns], dtype: 'F32', readRows }, format, 64);
}
