// In a worker: computes some results on a backend with workerData as its options, and posts them.
import { parentPort, workerData } from 'node:worker_threads';
import * as tf from '@tensorflow/tfjs-core';
import { ReadStrategy } from '../../../assembly/matmul/args.js';
import { asSimd } from '../../../src/backends/simd/backend.js';
import {
  registerSimdBackend,
  type SimdOptions,
  simdInfo,
} from '../../../src/backends/simd/index.js';
import {
  packedMatMul,
  slidingWindowAttention,
  ssdScan,
  type WeightFormat,
  weightPacker,
} from '../../../src/index.js';
import { uniform } from './both.js';

const options: SimdOptions = workerData;
registerSimdBackend(options);
await tf.setBackend('simd');
const { threads, relaxedSimd } = simdInfo();
const { runtime } = asSimd(tf.backend());
if (threads !== options.threads || relaxedSimd !== (options.relaxedSimd ?? true)) {
  throw new Error('the backend ignores its options');
}
const [rows, columns] = [300, 512];
const matrix = uniform('w', [rows, columns]);
const bytes = new Uint8Array(Float32Array.from(matrix.dataSync()).buffer);
const formats: WeightFormat[] = ['f32', 'bf16', 'int8', 'int4'];
const results: Float32Array[] = [];
for (const format of formats) {
  const weight = await weightPacker().pack(
    {
      shape: [rows, columns],
      dtype: 'F32',
      readRows: (first, count) =>
        bytes.subarray(first * columns * 4, (first + count) * columns * 4),
    },
    format,
    64,
  );
  for (const [batch, strategy] of [
    [1, ReadStrategy.PrefetchPages],
    [1, ReadStrategy.TwoStreams],
    [37, ReadStrategy.PrefetchPages],
    [211, ReadStrategy.PrefetchPages],
  ] as const) {
    runtime.readStrategy = strategy;
    const x = uniform('x', [batch, columns]);
    const y = packedMatMul(x, weight);
    // Values of one sign and similar size: large sums, though not the largest (see weights.test.ts).
    const z = packedMatMul(tf.add(tf.mul(x, 0.05), 1), weight);
    results.push(Float32Array.from(y.dataSync()), Float32Array.from(z.dataSync()));
  }
}
const { y } = ssdScan(
  uniform('x', [2, 33, 8, 16]),
  uniform('dt', [2, 33, 8]),
  tf.neg(tf.abs(uniform('A', [8]))),
  uniform('B', [2, 33, 1, 16]),
  uniform('C', [2, 33, 1, 16]),
);
results.push(Float32Array.from(y.dataSync()));
const [tokens, features] = [uniform('tokens', [211, 70]), uniform('features', [211, 333])];
const gradient = tf.matMul(features, tokens, true, false);
results.push(Float32Array.from(gradient.dataSync()));
const attention = tf.grads((q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) =>
  tf.sum(tf.square(slidingWindowAttention(q, k, v, { window: 20 }).y)),
);
const heads = ['q', 'k', 'v'].map((name) => uniform(name, [2, 50, 3, 16]));
for (const d of attention(heads)) results.push(Float32Array.from(d.dataSync()));
parentPort?.postMessage(results);
