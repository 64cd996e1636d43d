// Time of each op of Rene 1.3B at its sizes: for one token (decode) and for a chunk of a prompt (prefill).
//
//   node benchmarks/dist/ops.js [--backend simd,wasm,cpu] [--tokens 1,512] [--rounds 7]
//        [--dtype f32,bf16,int8,int4]
//
// On tfjs's own backends the ops are composed of tfjs-core ops and weights are f32: with --tokens 1 they take
// seconds, with 512 minutes. Results are medians; a multiply-add counts as two operations.
import { parseArgs } from 'node:util';
import { median } from '@rene-js/cli/bench';
import {
  causalConv1d,
  crossEntropy,
  embeddingLookup,
  gatedActivation,
  gatedRmsNorm,
  type PackedWeight,
  packedMatMul,
  rmsNorm,
  slidingWindowAttention,
  ssdScan,
  useBackend,
  type WeightFormat,
  weightPacker,
} from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';

const { values } = parseArgs({
  options: {
    backend: { type: 'string', default: 'simd' },
    tokens: { type: 'string', default: '1,512' },
    rounds: { type: 'string', default: '7' },
    dtype: { type: 'string', default: 'f32,bf16,int8,int4' },
  },
});

interface Case {
  name: string;
  run: () => tf.Tensor | tf.Tensor[];
  /** Floating-point operations, for compute-bound ops. */
  operations?: number;
  /** Bytes read and written, for memory-bound ops. */
  bytes?: number;
}

const formats: readonly WeightFormat[] = ['f32', 'bf16', 'int8', 'int4'];
const [dModel, dInner, heads, headDim, dState, window] = [2048, 4096, 64, 64, 128, 2048];
const convDim = dInner + 2 * dState;

for (const backend of values.backend.split(',')) {
  if (backend === 'wasm') await import('@tensorflow/tfjs-backend-wasm');
  await useBackend(backend);
  for (const tokens of values.tokens.split(',').map(Number)) {
    console.log(`\n${backend}, ${tokens} token${tokens === 1 ? '' : 's'}`);
    const kept: tf.Tensor[] = [];
    const cases = [...opsOf(tokens, kept), ...(await productsOf(tokens, kept))];
    for (const one of cases) report(one, await time(one));
    tf.dispose(kept);
  }
}
process.exit(0);

/** The ops without a weight matrix. Appends their inputs to `kept`. */
function opsOf(tokens: number, kept: tf.Tensor[]): Case[] {
  const random = (shape: number[], deviation = 1) => {
    const tensor = tf.randomNormal(shape, 0, deviation);
    kept.push(tensor);
    return tensor;
  };
  const [x, inner, z] = [[dModel], [dInner], [dInner]].map((s) => random([1, tokens, ...s]));
  const [xBC, conv] = [random([1, tokens, convDim]), random([convDim, 4])];
  const [normWeight, innerWeight] = [random([dModel]), random([dInner])];
  const scanned = random([1, tokens, heads, headDim]);
  const [dt, A] = [random([1, tokens, heads], 0.1), tf.neg(tf.abs(random([heads])))];
  const [B, C] = [random([1, tokens, 1, dState]), random([1, tokens, 1, dState])];
  const ssm = random([1, heads, headDim, dState]);
  const [q, k, v] = [0, 1, 2].map(() => random([1, tokens, 32, 64]));
  const [cacheK, cacheV] = [random([1, window, 32, 64]), random([1, window, 32, 64])];
  const logits = random([1, 50288]);
  const hidden = random([1, tokens, 6144]);
  const target = tf.tensor1d([17], 'int32');
  kept.push(A, target);
  if (!x || !inner || !z || !q || !k || !v) throw new Error('unreachable');
  const floats = (...tensors: tf.Tensor[]) => tensors.reduce((sum, t) => sum + 4 * t.size, 0);
  const state = { state: ssm, returnState: true, D: random([heads]), dtSoftplus: true };
  const cache = { k: cacheK, v: cacheV, positions: [window + 5] };
  // Keys and values in the window, for each query.
  const attended = 4 * tokens * window * 32 * 64;
  return [
    { name: 'rmsNorm', run: () => rmsNorm(x, normWeight, 1e-5), bytes: 2 * floats(x) },
    {
      name: 'gatedRmsNorm',
      run: () =>
        gatedRmsNorm(inner, z, innerWeight, {
          groupSize: dInner,
          eps: 1e-5,
          normBeforeGate: false,
        }),
      bytes: 3 * floats(inner),
    },
    {
      name: 'causalConv1d + silu',
      run: () => causalConv1d(xBC, conv, { activation: 'silu' }).y,
      bytes: 2 * floats(xBC),
    },
    {
      name: 'ssdScan, state in and out',
      run: () => {
        const { y, state: after } = ssdScan(scanned, dt, A, B, C, state);
        return after ? [y, after] : y;
      },
      operations: 6 * tokens * heads * headDim * dState,
      bytes: 2 * floats(ssm),
    },
    {
      name: `attention, ${window} tokens before`,
      run: () => {
        const { y, cache: after } = slidingWindowAttention(q, k, v, { window, cache });
        return after ? [y, after.k, after.v] : y;
      },
      operations: attended,
    },
    { name: 'gelu', run: () => gatedActivation(hidden, null, 'gelu'), bytes: 2 * floats(hidden) },
    {
      name: 'crossEntropy, one row',
      run: () => crossEntropy(logits, target),
      bytes: floats(logits),
    },
  ];
}

/** in_proj of a Mamba-2 block in each format, and the embedding lookup. */
async function productsOf(tokens: number, kept: tf.Tensor[]): Promise<Case[]> {
  const cases: Case[] = [];
  const [rows, columns] = [8512, dModel];
  const x = tf.randomNormal([tokens, columns]);
  const ids = tf.tensor1d(
    new Int32Array(tokens).map((_, i) => (i * 37) % rows),
    'int32',
  );
  kept.push(x, ids);
  for (const format of formats) {
    if (!values.dtype.split(',').includes(format)) continue;
    if (!weightPacker().formats.includes(format)) continue;
    const weight = await randomWeight(rows, columns, format);
    kept.push(weight.tensor);
    cases.push({
      name: `packedMatMul ${rows} x ${columns}, ${format}`,
      run: () => packedMatMul(x, weight),
      operations: 2 * tokens * rows * columns,
      bytes: weight.tensor.size * 4,
    });
    cases.push({ name: `embeddingLookup, ${format}`, run: () => embeddingLookup(ids, weight) });
  }
  return cases;
}

function randomWeight(rows: number, columns: number, format: WeightFormat): Promise<PackedWeight> {
  const values = Float32Array.from({ length: rows * columns }, () => Math.random() - 0.5);
  const rowBytes = columns * 4;
  const bytes = new Uint8Array(values.buffer);
  const readRows = (first: number, count: number) =>
    bytes.subarray(first * rowBytes, (first + count) * rowBytes);
  return weightPacker().pack({ shape: [rows, columns], dtype: 'F32', readRows }, format, 64);
}

/** Seconds of one call. */
async function time({ run }: Case): Promise<number> {
  const times: number[] = [];
  const once = async (): Promise<number> => {
    const start = performance.now();
    const outputs = [run()].flat();
    // A tfjs backend may defer work until a value is read.
    if (tf.getBackend() !== 'simd') await outputs[0]?.data();
    const took = (performance.now() - start) / 1000;
    tf.dispose(outputs);
    return took;
  };
  // Short calls run many times, long ones as often as requested.
  const first = await once();
  const rounds = Math.max(Number(values.rounds), Math.min(200, Math.floor(0.2 / first)));
  for (let i = 0; i < (first > 2 ? 1 : rounds); i++) times.push(await once());
  return median(times);
}

function report({ name, operations, bytes }: Case, seconds: number): void {
  const rates = [
    operations ? `${(operations / seconds / 1e9).toFixed(1)} GFLOP/s` : '',
    bytes ? `${(bytes / seconds / 1e9).toFixed(1)} GB/s` : '',
  ];
  const [work = '', flow = ''] = rates;
  const micros = (seconds * 1e6).toFixed(seconds < 1e-4 ? 1 : 0);
  console.log(
    `${name.padEnd(34)}${micros.padStart(10)} us${work.padStart(16)}${flow.padStart(13)}`,
  );
}
