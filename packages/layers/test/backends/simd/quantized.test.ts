// Quantised matrices in the file format, states updated in place, and results that do not depend on threads.
import { Worker } from 'node:worker_threads';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { asSimd } from '../../../src/backends/simd/backend.js';
import { registerSimdBackend, type SimdOptions } from '../../../src/backends/simd/index.js';
import {
  disposeWeight,
  type PackedWeight,
  packedMatMul,
  type QuantizedMatrix,
  ssdScan,
  weightPacker,
} from '../../../src/index.js';
import { expectClose, uniform, useSimd, valuesOf } from './both.js';

describe('simd: quantised matrices and states', () => {
  before(useSimd);

  for (const format of ['int8', 'int4'] as const) {
    for (const groupSize of [32, 64, 128]) {
      it(`${format} in groups of ${groupSize} keeps the file's quantised values, as MLX defines them`, async () => {
        const { matrix, values } = mlxMatrix(format, groupSize, 'BF16');
        const weight = await pack(matrix);
        expectClose(await weightPacker().unpack(weight), values, 1e-6);
        disposeWeight(weight);
      });
    }

    it(`${format} with f16 parameters`, async () => {
      const { matrix, values } = mlxMatrix(format, 64, 'F16');
      const weight = await pack(matrix);
      expectClose(await weightPacker().unpack(weight), values, 1e-6);
      disposeWeight(weight);
    });

    it(`${format}: matmuls with f16 parameters equal those with the same parameters in bf16`, async () => {
      const [f16, bf16] = [
        await pack(mlxMatrix(format, 64, 'F16').matrix),
        await pack(mlxMatrix(format, 64, 'BF16').matrix),
      ];
      for (const rows of [1, 2, 3, 4, 5, 9, 40]) {
        const [found, expected] = valuesOf(() =>
          [f16, bf16].map((weight) => packedMatMul(uniform('x', [rows, 256]), weight)),
        );
        expect(found, `${rows} rows`).to.deep.equal(expected);
      }
      for (const weight of [f16, bf16]) disposeWeight(weight);
    });

    it(`${format} is exported as it was packed`, async () => {
      const { matrix } = mlxMatrix(format, 64, 'BF16');
      const weight = await pack(matrix);
      const exported = weightPacker().exportQuantized?.(weight);
      expect(exported).to.include({ format, groupSize: 64, parameterDType: 'BF16' });
      expect(await exported?.readRows(0, 19)).to.deep.equal(await matrix.readRows(0, 19));
      disposeWeight(weight);
    });
  }

  it('updates a state in place only if nothing else holds it', () => {
    const inputs = () => ({
      x: uniform('x', [1, 1, 2, 4]),
      dt: uniform('dt', [1, 1, 2]),
      A: tf.neg(tf.abs(uniform('A', [2]))),
      B: uniform('B', [1, 1, 1, 4]),
      C: uniform('C', [1, 1, 1, 4]),
    });
    tf.tidy(() => {
      const { x, dt, A, B, C } = inputs();
      const alone = uniform('s', [1, 2, 4, 4]);
      const first = ssdScan(x, dt, A, B, C, { state: alone, returnState: true }).state;
      expect(first?.dataId).to.equal(alone.dataId);

      const shared = uniform('s', [1, 2, 4, 4]);
      const other = tf.clone(shared);
      const before = Float32Array.from(other.dataSync());
      const second = ssdScan(x, dt, A, B, C, { state: shared, returnState: true }).state;
      expect(second?.dataId).not.to.equal(shared.dataId);
      expect(other.dataSync()).to.deep.equal(before);
      expect(second?.dataSync()).to.deep.equal(first?.dataSync());
    });
  });

  it('scans a sequence bitwise identically at once, in pieces and token by token', () => {
    const [length, heads, dim, states] = [37, 2, 8, 12];
    const scan = (sizes: number[]) => {
      const outputs: tf.Tensor[] = [];
      let state: tf.Tensor | undefined;
      let from = 0;
      for (const size of sizes) {
        const part = (name: string, shape: [number, number, ...number[]]) =>
          tf.slice(uniform(name, shape), [0, from], [1, size]);
        const scanned = ssdScan(
          part('x', [1, length, heads, dim]),
          part('dt', [1, length, heads]),
          tf.neg(tf.abs(uniform('A', [heads]))),
          part('B', [1, length, 1, states]),
          part('C', [1, length, 1, states]),
          { state, returnState: true },
        );
        outputs.push(scanned.y);
        state = scanned.state;
        from += size;
      }
      return [tf.concat(outputs, 1), ...(state ? [state] : [])];
    };
    const atOnce = valuesOf(() => scan([length]));
    expect(valuesOf(() => scan([1, 15, 2, 19]))).to.deep.equal(atOnce);
    expect(valuesOf(() => scan(Array.from({ length }, () => 1)))).to.deep.equal(atOnce);
  });

  it('later tensors do not overwrite returned values', () => {
    const x = tf.add(uniform('x', [1000]), 0);
    const values = x.dataSync();
    const copy = Float32Array.from(values);
    x.dispose();
    tf.tidy(() => tf.add(tf.ones([1000]), 1));
    expect(values).to.deep.equal(copy);
  });

  it('gives bitwise the same results on 1, 2 and 4 threads, and nearly the same without relaxed SIMD', async () => {
    const [one, two = [], four, plain = []] = await Promise.all(
      [{ threads: 1 }, { threads: 2 }, { threads: 4 }, { threads: 2, relaxedSimd: false }].map(
        resultsWith,
      ),
    );
    expect(two).to.deep.equal(one);
    expect(four).to.deep.equal(one);
    expect(plain.length).to.equal(two.length);
    const { hasInt8Dot4 } = asSimd(tf.backend()).runtime;
    plain.forEach((values, i) => {
      // The eight results of int8 weights: with byte dot products activations have more steps.
      const tolerance = hasInt8Dot4 && i >= 16 && i < 24 ? 0.02 : 1e-5;
      expectClose(two[i] ?? values, values, tolerance);
    });
  }).timeout(60000);

  it('is registered once', () => {
    expect(registerSimdBackend({ threads: 3 })).to.equal(false);
  });
});

async function pack(matrix: QuantizedMatrix): Promise<PackedWeight> {
  const weight = await weightPacker().packQuantized?.(matrix);
  if (!weight) throw new Error('the packer takes no quantised matrices');
  return weight;
}

/**
 * Random quantised values, scales and offsets, packed as MLX defines it, and the values that they represent.
 */
function mlxMatrix(
  format: 'int8' | 'int4',
  groupSize: number,
  parameterDType: 'F16' | 'BF16',
): { matrix: QuantizedMatrix; values: Float32Array } {
  const [rows, columns] = [19, 256];
  const bits = format === 'int8' ? 8 : 4;
  const groups = columns / groupSize;
  const words = new Uint32Array((rows * columns * bits) / 32);
  const values = new Float32Array(rows * columns);
  // Powers of two and their multiples are exact in both 16-bit formats.
  const scale = (row: number, group: number) => 2 ** -((row + group) % 5) / 8;
  const offset = (row: number, group: number) => -((row * 3 + group) % 7) / 4;
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < columns; k++) {
      const code = (row * 31 + k * 7 + k * k) % (1 << bits);
      const i = row * columns + k;
      const word = Math.floor((i * bits) / 32);
      words[word] = (words[word] ?? 0) | (code << ((i * bits) % 32));
      const group = Math.floor(k / groupSize);
      values[i] = code * scale(row, group) + offset(row, group);
    }
  }
  const parameters = (of: (row: number, group: number) => number) =>
    new Uint8Array(
      Uint16Array.from({ length: rows * groups }, (_, i) =>
        halfBits(of(Math.floor(i / groups), i % groups), parameterDType),
      ).buffer,
    );
  const all = {
    values: new Uint8Array(words.buffer),
    scales: parameters(scale),
    offsets: parameters(offset),
  };
  const cut = (bytes: Uint8Array, first: number, count: number) => {
    const rowBytes = bytes.length / rows;
    return bytes.slice(first * rowBytes, (first + count) * rowBytes);
  };
  return {
    values,
    matrix: {
      format,
      shape: [rows, columns],
      groupSize,
      parameterDType,
      readRows: (first, count) => ({
        values: cut(all.values, first, count),
        scales: cut(all.scales, first, count),
        offsets: cut(all.offsets, first, count),
      }),
    },
  };
}

/** The bits of a value that is exact in the format. */
function halfBits(value: number, dtype: 'F16' | 'BF16'): number {
  const [bits = 0] = new Uint32Array(Float32Array.of(value).buffer);
  if (dtype === 'BF16') return bits >>> 16;
  if (value === 0) return 0;
  return ((bits >>> 16) & 0x8000) | (((bits & 0x7fffffff) - (112 << 23)) >>> 13);
}

/** Matmuls, a scan and gradients, computed in a worker whose backend has these options. */
function resultsWith(options: SimdOptions): Promise<Float32Array[]> {
  const url = new URL('./on_threads.js', import.meta.url);
  return new Promise((resolve, reject) => {
    const worker = new Worker(url, { workerData: { oversubscribe: true, ...options } });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}
