// Packed weights: unpacking inverts packing, matmuls use them, and a row's result does not depend on the
// batch.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { asSimd } from '../../../src/backends/simd/backend.js';
import {
  disposeWeight,
  embeddingLookup,
  type PackedWeight,
  packedMatMul,
  rowsWeight,
  type StoredDType,
  type StoredMatrix,
  type WeightFormat,
  weightPacker,
} from '../../../src/index.js';
import { expectClose, uniform, useSimd, valuesOf } from './both.js';

type Format = Exclude<WeightFormat, 'f16'>;
const formats = fc.constantFrom<Format>('f32', 'bf16', 'int8', 'int4');

describe('simd: packed weights', () => {
  before(useSimd);

  it('unpack to the packed values, within the precision of the format', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          rows: fc.integer({ min: 1, max: 70 }),
          columns: fc.integer({ min: 1, max: 200 }),
          format: formats,
          dtype: fc.constantFrom<StoredDType>('F32', 'BF16', 'F16'),
          groupSize: fc.constantFrom(32, 64, 128),
        }),
        async ({ rows, columns, format, dtype, groupSize }) => {
          const { matrix, values } = stored(rows, columns, dtype);
          const weight = await weightPacker().pack(matrix, format, groupSize);
          const unpacked = await weightPacker().unpack(weight);
          disposeWeight(weight);
          // For values in [-1, 1): half a step of the grid, and the rounding of its ends.
          const error = { f32: 0, bf16: 2 ** -8, int8: 0.012, int4: 0.17 }[format];
          expectClose(unpacked, values, error);
        },
      ),
      { numRuns: 60 },
    ));

  it("int4: normally distributed values have a smaller error than with a grid between each group's ends", async () => {
    const shape: [number, number] = [64, 512];
    const normal = tf.randomNormal(shape, 0, 1, 'float32', 5);
    const values = Float32Array.from(normal.dataSync());
    normal.dispose();
    const bytes = new Uint8Array(values.buffer);
    const readRows = (first: number, count: number) =>
      bytes.subarray(first * 2048, (first + count) * 2048);
    const weight = await weightPacker().pack({ shape, dtype: 'F32', readRows }, 'int4', 64);
    const unpacked = await weightPacker().unpack(weight);
    disposeWeight(weight);
    let [error, plain] = [0, 0];
    for (let first = 0; first < values.length; first += 64) {
      const group = values.subarray(first, first + 64);
      const low = Math.min(...group);
      const step = (Math.max(...group) - low) / 15;
      group.forEach((value, i) => {
        error += ((unpacked[first + i] ?? 0) - value) ** 2;
        plain += (low + Math.round((value - low) / step) * step - value) ** 2;
      });
    }
    expect(error / plain).to.be.below(0.9);
  });

  it('int4: columns that are small beside others keep their values', async () => {
    const [rows, columns] = [40, 192];
    const normal = tf.randomNormal([rows, columns], 0, 1, 'float32', 11);
    const values = Float32Array.from(normal.dataSync());
    normal.dispose();
    const small = [3, 70, 191];
    for (let at = 0; at < values.length; at += columns) {
      for (const column of small) values[at + column] = (values[at + column] ?? 0) / 64;
    }
    const bytes = new Uint8Array(values.buffer);
    const readRows = (first: number, count: number) =>
      bytes.subarray(first * columns * 4, (first + count) * columns * 4);
    const weight = await weightPacker().pack(
      { shape: [rows, columns], dtype: 'F32', readRows },
      'int4',
      64,
    );
    const unpacked = await weightPacker().unpack(weight);
    disposeWeight(weight);
    let [small2, all2] = [0, 0];
    values.forEach((value, i) => {
      const error = ((unpacked[i] ?? 0) - value) ** 2;
      if (small.includes(i % columns)) small2 += error / (rows * small.length);
      all2 += error / values.length;
    });
    // A grid for the other columns alone has a root mean square error of 0.09 in each column.
    expect(Math.sqrt(small2)).to.be.below(0.02);
    expect(Math.sqrt(all2)).to.be.below(0.11);
  });

  it('multiply like the unpacked matrix, with bias, activation and residual', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          rows: fc.integer({ min: 1, max: 9 }),
          outFeatures: fc.integer({ min: 1, max: 70 }),
          columns: fc.integer({ min: 1, max: 300 }),
          format: formats,
          groupSize: fc.constantFrom(32, 64),
        }),
        async ({ rows, outFeatures, columns, format, groupSize }) => {
          const { matrix } = stored(outFeatures, columns, 'F32');
          const weight = await weightPacker().pack(matrix, format, groupSize);
          const dense = await weightPacker().unpack(weight);
          const product = (w: PackedWeight) =>
            packedMatMul(uniform('x', [rows, columns]), w, {
              bias: uniform('b', [outFeatures]),
              activation: 'gelu',
              residual: uniform('r', [rows, outFeatures]),
            });
          const [found = dense, expected = dense] = valuesOf(() => [
            product(weight),
            product(rowsWeight(tf.tensor2d(dense, [outFeatures, columns]))),
          ]);
          disposeWeight(weight);
          // Activations in [-1, 1) are rounded to 40 to 68, or 127, steps each way. The bound is six standard
          // deviations of a sum of such errors, each times a weight in [-1, 1).
          const halfStep = {
            f32: 0,
            bf16: 0,
            int8: 0.5 / 40,
            int4: 0.5 / (groupSize === 32 ? 127 : 68),
          }[format];
          const tolerance = 6 * (halfStep / Math.sqrt(3)) * Math.sqrt(columns / 3);
          const largest = expected.reduce((top, v) => Math.max(top, Math.abs(v)), 1);
          // GELU's slope is at most 1.13.
          expectClose(found, expected, (1.13 * tolerance) / largest);
        },
      ),
      { numRuns: 60 },
    ));

  for (const format of ['f32', 'bf16', 'int8', 'int4'] as const) {
    // With longer rows, fewer panels are read at a time.
    for (const [outFeatures, columns] of [
      [75, 333],
      [90, 3100],
    ] as const) {
      it(`${format}: a row's result is bitwise the same in every batch, ${columns} columns`, async () => {
        const { matrix } = stored(outFeatures, columns, 'F32');
        const weight = await weightPacker().pack(matrix, format, 64);
        const plain = rowsWeight(uniform('w', [outFeatures, columns]));
        for (const w of format === 'f32' ? [weight, plain] : [weight]) {
          const product = (rows: number) =>
            valuesOf(() => [packedMatMul(uniform('x', [rows, columns]), w)])[0];
          const many = product(200);
          for (const rows of [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 65, 97, 130]) {
            const expected = many?.slice(0, rows * outFeatures);
            expect(product(rows), `${rows} rows`).to.deep.equal(expected);
          }
        }
        disposeWeight(weight);
        disposeWeight(plain);
      });
    }
  }

  it('are unchanged after a matmul, which writes the first words of their pages', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          rows: fc.integer({ min: 1, max: 4 }),
          outFeatures: fc.integer({ min: 1, max: 140 }),
          columns: fc.integer({ min: 1, max: 400 }),
          format: formats,
          groupSize: fc.constantFrom(32, 64),
        }),
        async ({ rows, outFeatures, columns, format, groupSize }) => {
          const { matrix } = stored(outFeatures, columns, 'F32');
          const weight = await weightPacker().pack(matrix, format, groupSize);
          const held = () => weight.tensor.dataSync().slice();
          const before = held();
          valuesOf(() => [packedMatMul(uniform('x', [rows, columns]), weight)]);
          expect(held()).to.deep.equal(before);
          disposeWeight(weight);
        },
      ),
      { numRuns: 60 },
    ));

  for (const format of ['int8', 'int4'] as const) {
    for (const group of [32, 64]) {
      it(`${format}: the largest activations times the largest weights do not overflow, groups of ${group}`, async () => {
        // All columns of a group except one have the largest quantised value.
        const values = Float32Array.from({ length: 8 * 128 }, (_, i) => (i % group === 5 ? -1 : 1));
        const bytes = new Uint8Array(values.buffer);
        const readRows = (first: number, count: number) =>
          bytes.subarray(first * 512, (first + count) * 512);
        const shape: [number, number] = [8, 128];
        const weight = await weightPacker().pack({ shape, dtype: 'F32', readRows }, format, group);
        const dense = await weightPacker().unpack(weight);
        const plain = rowsWeight(tf.tensor2d(dense, shape));
        const compare = (x: readonly number[], rounded: readonly number[]) => {
          for (const rows of [1, 3, 4, 9]) {
            const product = (row: readonly number[], w: PackedWeight) =>
              packedMatMul(tf.tile(tf.tensor2d([...row], [1, 128]), [rows, 1]), w);
            const [found = dense, expected = dense] = valuesOf(() => [
              product(x, weight),
              product(rounded, plain),
            ]);
            expectClose(found, expected, 1e-4);
          }
        };
        const repeated = (of: readonly number[], sign: (i: number) => number) =>
          Array.from({ length: 128 }, (_, i) => (of[i % of.length] ?? 0) * sign(i));
        const signs = [() => 1, () => -1, (i: number) => (i & 8 ? 1 : -1)];
        for (const sign of signs) compare(repeated([1], sign), repeated([1], sign));
        // Where four byte products are summed in 32 bits, the sum of four is not limited.
        if (format === 'int4' || asSimd(tf.backend()).runtime.hasInt8Dot4) return;
        // Columns 0, 1, 4, 5 and columns 2, 3, 6, 7 have the largest allowed sum, with values that are all
        // rounded up.
        const four = [30.51, 30.51, 30.51, 30.51, 30.51, 32.47, 30.51, 32.47];
        const weights = [31, 31, 31, 31, 31, 32, 31, 32];
        for (const sign of signs) compare(repeated(four, sign), repeated(weights, sign));
      });
    }

    it(`${format}: NaN and infinities stay in their row`, async () => {
      const { matrix } = stored(19, 130, 'F32');
      const weight = await weightPacker().pack(matrix, format, 64);
      const product = (of: (x: tf.TensorBuffer<tf.Rank>) => void) => {
        const x = uniform('x', [5, 130]);
        const buffer = tf.buffer([5, 130], 'float32', Float32Array.from(x.dataSync()));
        of(buffer);
        return valuesOf(() => [packedMatMul(buffer.toTensor(), weight)])[0] ?? new Float32Array();
      };
      const clean = product(() => {});
      for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        const found = product((x) => x.set(wrong, 2, 129));
        for (let row = 0; row < 5; row++) {
          const part = found.slice(row * 19, row * 19 + 19);
          if (row !== 2) expect(part).to.deep.equal(clean.slice(row * 19, row * 19 + 19));
          else expect(part.some(Number.isFinite)).to.equal(false);
        }
      }
      disposeWeight(weight);
    });
  }

  it('serve as embedding tables', async () => {
    for (const format of ['f32', 'bf16', 'int8', 'int4'] as const) {
      const { matrix } = stored(45, 130, 'F32');
      const weight = await weightPacker().pack(matrix, format, 64);
      const dense = await weightPacker().unpack(weight);
      const ids = [44, 0, 7, 7, 32, 8];
      const [rows] = valuesOf(() => [embeddingLookup(tf.tensor1d(ids, 'int32'), weight)]);
      expect(rows).to.deep.equal(
        Float32Array.from(ids.flatMap((id) => [...dense.slice(id * 130, (id + 1) * 130)])),
      );
      disposeWeight(weight);
    }
  });

  it('free all memory', async () => {
    const { matrix } = stored(64, 128, 'F32');
    const before = tf.memory();
    disposeWeight(await weightPacker().pack(matrix, 'int4', 64));
    expect(tf.memory().numTensors).to.equal(before.numTensors);
    expect(tf.memory().numDataBuffers).to.equal(before.numDataBuffers);
  });
});

/** A matrix of values in [-1, 1) as a file stores it, and its values. */
function stored(
  rows: number,
  columns: number,
  dtype: StoredDType,
): { matrix: StoredMatrix; values: Float32Array } {
  const values = uniform(`${rows},${columns}`, [rows, columns]);
  const exact = Float32Array.from(values.dataSync());
  values.dispose();
  let bytes = new Uint8Array(exact.buffer);
  if (dtype !== 'F32') {
    const bits = new Uint32Array(exact.buffer);
    const halves = new Uint16Array(exact.length);
    bits.forEach((b, i) => {
      // 7 bits of mantissa, which are exact in bf16 and f16.
      bits[i] = b & 0xffff0000;
      if (((b >> 23) & 0xff) < 113) bits[i] = 0;
      const cut = bits[i] ?? 0;
      const f16 = ((cut >>> 16) & 0x8000) | (((cut & 0x7fffffff) - (112 << 23)) >> 13);
      halves[i] = dtype === 'BF16' ? cut >>> 16 : cut === 0 ? 0 : f16;
    });
    bytes = new Uint8Array(halves.buffer);
  }
  const rowBytes = bytes.length / rows;
  const matrix: StoredMatrix = {
    shape: [rows, columns],
    dtype,
    readRows: (first, count) => bytes.subarray(first * rowBytes, (first + count) * rowBytes),
  };
  return { matrix, values: exact };
}
