// The matmuls of one decoded token of Rene 1.3B on the backend 'simd', interleaved with the same process's
// memory read probe; then matmuls of many rows.
//
//   node benchmarks/dist/simd_kernels.js [--dtype int4,int8,bf16] [--rounds 15] [--share 1]
//
// --share 0.25 uses a quarter of the layers, to save memory and time.
import { parseArgs } from 'node:util';
import {
  disposeWeight,
  type PackedWeight,
  packedMatMul,
  useBackend,
  type WeightFormat,
  weightPacker,
} from '@rene-js/layers';
import { measureReadBandwidth, simdInfo } from '@rene-js/layers/simd';
import * as tf from '@tensorflow/tfjs-core';

const { values } = parseArgs({
  options: {
    dtype: { type: 'string', default: 'int4,int8,bf16' },
    rounds: { type: 'string', default: '15' },
    share: { type: 'string', default: '1' },
  },
});

const formats: readonly WeightFormat[] = ['f32', 'bf16', 'int8', 'int4'];
const shapes: readonly { shape: [number, number]; count: number }[] = [
  { shape: [8512, 2048], count: 28 }, // in_proj of a Mamba-2 block
  { shape: [2048, 4096], count: 28 },
  { shape: [6144, 2048], count: 16 }, // the MLP's two matrices
  { shape: [2048, 6144], count: 16 },
  { shape: [6144, 2048], count: 4 }, // attention's two matrices
  { shape: [2048, 2048], count: 4 },
  { shape: [50288, 2048], count: 1 },
];

await useBackend('simd');
const { threads, relaxedSimd } = simdInfo();
console.log(
  `${threads} threads, ${relaxedSimd ? 'relaxed' : 'plain'} SIMD, node ${process.version}`,
);
for (const name of values.dtype.split(',')) {
  const format = formats.find((f) => f === name);
  if (!format) throw new Error(`--dtype: expected ${formats.join(', ')}, found ${name}`);
  await measure(format);
}
process.exit(0);

async function measure(format: WeightFormat): Promise<void> {
  const start = performance.now();
  const weights: PackedWeight[] = [];
  for (const { shape, count } of shapes) {
    const copies = Math.max(1, Math.round(count * Number(values.share)));
    for (let i = 0; i < copies; i++) weights.push(await randomWeight(shape, format));
  }
  const bytes = weights.reduce((sum, { tensor }) => sum + tensor.size * 4, 0);
  const packSeconds = (performance.now() - start) / 1000;

  const token = time(weights, 1);
  token();
  const milliseconds: number[] = [];
  const probes: number[] = [];
  for (let i = 0; i < Number(values.rounds); i++) {
    milliseconds.push(token());
    probes.push(measureReadBandwidth(1 << 30, 1));
  }
  const rate = (bytes / median(milliseconds)) * 1000;
  const probe = median(probes);
  console.log(
    `${format.padEnd(5)} ${(bytes / 1e9).toFixed(3)} GB packed in ${packSeconds.toFixed(1)} s; ` +
      `a token's products ${median(milliseconds).toFixed(1)} ms, ${(rate / 1e9).toFixed(1)} GB/s, ` +
      `probe ${(probe / 1e9).toFixed(1)} GB/s, share ${(rate / probe).toFixed(2)}`,
  );
  const [first] = weights;
  if (!first) return;
  for (const rows of [2, 8, 512]) {
    const run = time([first], rows);
    const best = median([run(), run(), run(), run(), run()]);
    const [n, k] = shapes[0]?.shape ?? [0, 0];
    console.log(`  ${rows} rows: ${((2 * rows * n * k) / best / 1e6).toFixed(1)} GFLOP/s`);
  }
  for (const weight of weights) disposeWeight(weight);
}

/** Multiplies with all weights once. Returns milliseconds. */
function time(weights: readonly PackedWeight[], rows: number): () => number {
  const inputs = new Map<number, tf.Tensor>();
  for (const { shape } of weights) inputs.set(shape[1], tf.randomNormal([rows, shape[1]]));
  return () => {
    const start = performance.now();
    for (const weight of weights) {
      const x = inputs.get(weight.shape[1]);
      if (x) packedMatMul(x, weight).dispose();
    }
    return performance.now() - start;
  };
}

async function randomWeight(shape: [number, number], format: WeightFormat): Promise<PackedWeight> {
  const [, columns] = shape;
  // A few random rows, repeated: speed does not depend on the values.
  const noise = Float32Array.from({ length: 64 * columns }, () => Math.random() - 0.5);
  const piece = new Map<number, Uint8Array>();
  const rowsOf = (count: number) => {
    const rows = new Float32Array(count * columns);
    for (let i = 0; i < rows.length; i += noise.length) {
      rows.set(noise.subarray(0, Math.min(noise.length, rows.length - i)), i);
    }
    return new Uint8Array(rows.buffer);
  };
  return weightPacker().pack(
    {
      shape,
      dtype: 'F32',
      readRows: (_, count) => {
        const bytes = piece.get(count) ?? rowsOf(count);
        piece.set(count, bytes);
        return bytes;
      },
    },
    format,
    64,
  );
}

function median(numbers: number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;
}
