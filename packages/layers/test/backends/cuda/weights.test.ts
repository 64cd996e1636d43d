// Packed weights: unpacking inverts packing, and every matmul uses them.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  disposeWeight,
  embeddingLookup,
  packedMatMul,
  rowsWeight,
  type StoredMatrix,
  type WeightFormat,
  weightPacker,
} from '../../../src/index.js';
import { expectInt4OfSimd } from '../both.js';
import { describeOnCuda, expectClose, uniform, useCuda, valuesOf } from './both.js';

const formats = fc.constantFrom<WeightFormat>('f32', 'bf16', 'f16', 'int8', 'int4');
const runs = { numRuns: 25 };

function stored(rows: number, columns: number): { matrix: StoredMatrix; values: Float32Array } {
  const tensor = uniform('w', [rows, columns]);
  const values = Float32Array.from(tensor.dataSync());
  tensor.dispose();
  const readRows = (first: number, count: number) =>
    new Uint8Array(values.slice(first * columns, (first + count) * columns).buffer);
  return { matrix: { shape: [rows, columns], dtype: 'F32', readRows }, values };
}

describeOnCuda('cuda: packed weights', () => {
  before(useCuda);

  it('unpack to the packed values, within the precision of the format', () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 70 }),
        fc.integer({ min: 1, max: 200 }),
        formats,
        fc.constantFrom(32, 64, 128),
        async (rows, columns, format, groupSize) => {
          const { matrix, values } = stored(rows, columns);
          const weight = await weightPacker().pack(matrix, format, groupSize);
          const unpacked = await weightPacker().unpack(weight);
          disposeWeight(weight);
          // For values in [-1, 1): half a step of the grid, and the rounding of its ends.
          const error = { f32: 0, bf16: 2 ** -8, f16: 2 ** -11, int8: 0.012, int4: 0.17 }[format];
          expectClose(unpacked, values, error);
        },
      ),
      runs,
    ));

  it('quantise to 4 bits as simd does', () => expectInt4OfSimd(useCuda, 10));

  it('multiply up to 63 rows of f32 without rounding them to bf16', () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 9, max: 63 }),
        fc.integer({ min: 1, max: 150 }),
        fc.integer({ min: 1, max: 300 }),
        fc.constantFrom<WeightFormat>('bf16', 'int8', 'int4'),
        async (rows, outFeatures, columns, format) => {
          const weight = await weightPacker().pack(stored(outFeatures, columns).matrix, format, 32);
          const dense = await weightPacker().unpack(weight);
          const [x] = valuesOf(() => [uniform('x', [rows, columns])]);
          const [found] = valuesOf(() => [packedMatMul(uniform('x', [rows, columns]), weight)]);
          disposeWeight(weight);
          const expected = (found ?? new Float32Array()).map((_, i) => {
            const [row, feature] = [Math.floor(i / outFeatures), i % outFeatures];
            let sum = 0;
            for (let c = 0; c < columns; c++) {
              sum += (x?.[row * columns + c] ?? 0) * (dense[feature * columns + c] ?? 0);
            }
            return sum;
          });
          // The tensor cores multiply dequantised values as bf16.
          expectClose(found ?? new Float32Array(), expected, format === 'bf16' ? 5e-5 : 1e-2);
        },
      ),
      { numRuns: 8 },
    ));

  it('multiply like the unpacked matrix, with few rows and many', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1, 2, 3, 5, 8, 9, 70),
        fc.integer({ min: 1, max: 150 }),
        fc.integer({ min: 1, max: 700 }),
        formats,
        fc.constantFrom(32, 64),
        async (rows, outFeatures, columns, format, groupSize) => {
          const { matrix } = stored(outFeatures, columns);
          const weight = await weightPacker().pack(matrix, format, groupSize);
          const dense = await weightPacker().unpack(weight);
          const product = (by: typeof weight) =>
            valuesOf(() => {
              const bias = uniform('b', [outFeatures]);
              const residual = uniform('r', [rows, outFeatures]);
              const options = { bias, residual, activation: 'gelu' as const };
              return [packedMatMul(uniform('x', [rows, columns]), by, options)];
            });
          const [found = new Float32Array()] = product(weight);
          const plain = rowsWeight(tf.tensor2d(dense, [outFeatures, columns]));
          const [expected = new Float32Array()] = product(plain);
          disposeWeight(weight);
          disposeWeight(plain);
          // The tensor cores round x to bf16.
          expectClose(found, expected, rows > 8 && format !== 'f32' ? 1e-2 : 2e-5);
        },
      ),
      runs,
    ));

  it("a row's result does not depend on the batch", async () => {
    const { matrix } = stored(40, 256);
    for (const format of ['f32', 'bf16', 'int8', 'int4'] as const) {
      const weight = await weightPacker().pack(matrix, format, 64);
      const [four = new Float32Array()] = valuesOf(() => [
        packedMatMul(uniform('x', [4, 256]), weight),
      ]);
      const [one = new Float32Array()] = valuesOf(() => [
        packedMatMul(tf.slice(uniform('x', [4, 256]), [3, 0], [1, 256]), weight),
      ]);
      disposeWeight(weight);
      expect([...one], format).to.deep.equal([...four.subarray(3 * 40)]);
    }
  });

  it('embedding lookup: an id outside the table gives NaN', async () => {
    const { matrix, values } = stored(10, 64);
    const weight = await weightPacker().pack(matrix, 'bf16', 64);
    const [rows = new Float32Array()] = valuesOf(() => [
      embeddingLookup(tf.tensor1d([3, 10], 'int32'), weight),
    ]);
    disposeWeight(weight);
    expectClose(rows.subarray(0, 64), values.subarray(3 * 64, 4 * 64), 2 ** -8);
    expect(rows.subarray(64).every(Number.isNaN)).to.equal(true);
  });
});
