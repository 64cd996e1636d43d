// Packed weights on 'webgpu': what is packed comes back, every multiplication uses it.
import { currentGpuDevice, limitDevice, skipWithoutWebGpu } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { GpuOutOfMemoryError } from '../../../src/backends/webgpu/index.js';
import { weightParts } from '../../../src/backends/webgpu/layout.js';
import { tensorsOf } from '../../../src/backends/webgpu/tensors.js';
import {
  disposeWeight,
  embeddingLookup,
  packedMatMul,
  rmsNorm,
  type StoredMatrix,
  type WeightFormat,
  weightPacker,
} from '../../../src/index.js';
import { narrow } from '../../../src/internal.js';
import { expectClose, expectInt4OfSimd, readValuesOf, uniform } from '../both.js';
import { expectNoGpuErrors, useWebGpu } from './both.js';

const formats = fc.constantFrom<WeightFormat>('f32', 'bf16', 'f16', 'int8', 'int4');
const dtypes = fc.constantFrom('F32', 'BF16', 'F16');

function stored(rows: number, columns: number, dtype: 'F32' | 'BF16' | 'F16' = 'F32') {
  let seed = 1;
  const values = Float32Array.from({ length: rows * columns }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 31 - 1;
  });
  const readRows = (first: number, count: number) =>
    narrow(values.slice(first * columns, (first + count) * columns), dtype);
  const matrix: StoredMatrix = { shape: [rows, columns], dtype, readRows };
  return { matrix, values };
}

describe('webgpu: packed weights', () => {
  before(skipWithoutWebGpu);
  expectNoGpuErrors();
  before(useWebGpu);

  it('unpack to what was packed, within the format', () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 200 }),
        formats,
        dtypes,
        fc.constantFrom(32, 64, 128),
        async (rows, columns, format, dtype, groupSize) => {
          const { matrix, values } = stored(rows, columns, dtype);
          const weight = await weightPacker().pack(matrix, format, groupSize);
          const unpacked = await weightPacker().unpack(weight);
          disposeWeight(weight);
          // Of numbers in [-1, 1): half a step of the grid, and the rounding of its ends.
          const error = { f32: 0, bf16: 2 ** -8, f16: 2 ** -11, int8: 0.012, int4: 0.17 }[format];
          const ofFile = { F32: 0, BF16: 2 ** -8, F16: 2 ** -11 }[dtype];
          expectClose(unpacked, values, error + ofFile);
        },
      ),
      { numRuns: 8 },
    ));

  it('quantise to 4 bits as simd does', () => expectInt4OfSimd(useWebGpu, 5));

  it('multiply as the matrix that they unpack to, few rows and many', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1, 2, 3, 5, 8, 9, 70),
        fc.integer({ min: 1, max: 70 }),
        fc.integer({ min: 1, max: 300 }),
        formats,
        fc.constantFrom(32, 64),
        async (rows, outFeatures, columns, format, groupSize) => {
          const { matrix } = stored(outFeatures, columns);
          const weight = await weightPacker().pack(matrix, format, groupSize);
          const dense = await weightPacker().unpack(weight);
          const x = stored(rows, columns).values.reverse();
          const [found = new Float32Array()] = await readValuesOf(() => {
            const residual = uniform('r', [rows, outFeatures]);
            return [
              tf.sub(packedMatMul(tf.tensor2d(x, [rows, columns]), weight, { residual }), residual),
            ];
          });
          disposeWeight(weight);
          const expected = Float32Array.from({ length: rows * outFeatures }, (_, i) => {
            const [row, feature] = [Math.floor(i / outFeatures), i % outFeatures];
            let sum = 0;
            for (let c = 0; c < columns; c++) {
              sum += (x[row * columns + c] ?? 0) * (dense[feature * columns + c] ?? 0);
            }
            return sum;
          });
          expectClose(found, expected, 1e-5);
        },
      ),
      { numRuns: 10 },
    ));

  it('are looked up; an id outside the table gives NaN, not memory of others', async () => {
    const { matrix, values } = stored(10, 64);
    const weight = await weightPacker().pack(matrix, 'bf16', 64);
    const [rows = new Float32Array()] = await readValuesOf(() => [
      embeddingLookup(tf.tensor1d([3, 10, -1], 'int32'), weight),
    ]);
    disposeWeight(weight);
    expectClose(rows.subarray(0, 64), values.subarray(3 * 64, 4 * 64), 2 ** -8);
    expect(rows.subarray(64).every(Number.isNaN)).to.equal(true);
  });

  it('quantised values of a file are used as they are', async () => {
    const values = Uint8Array.from({ length: 3 * 32 }, (_, i) => (i * 41) % 256);
    const scales = narrow(Float32Array.of(0.5, 0.25, 2), 'F16');
    const offsets = narrow(Float32Array.of(-1, 3, 0.125), 'F16');
    const weight = await weightPacker().packQuantized?.({
      format: 'int8',
      shape: [3, 32],
      groupSize: 32,
      parameterDType: 'F16',
      readRows: () => ({ values, scales, offsets }),
    });
    if (!weight) throw new Error('webgpu packs quantised values');
    const unpacked = await weightPacker().unpack(weight);
    disposeWeight(weight);
    const expected = Array.from(values, (code, i) => {
      const row = Math.floor(i / 32);
      return code * ([0.5, 0.25, 2][row] ?? 0) + ([-1, 3, 0.125][row] ?? 0);
    });
    expect([...unpacked]).to.deep.equal(expected);
  });

  it('are split where a binding is too small, and freed when they are disposed of', async () => {
    const attrs = { format: 'int8' as const, layout: 'webgpu', shape: [1000, 64], groupSize: 64 };
    const parts = weightParts(0, attrs, 20000);
    expect(parts.map(({ count }) => count).reduce((a, b) => a + b)).to.equal(1000);
    expect(Math.max(...parts.map(({ count }) => count * 64 + 255))).to.be.at.most(20000);

    const { pool } = tensorsOf(tf.backend()).runtime;
    const before = pool.allocatedBytes;
    const weight = await weightPacker().pack(stored(2048, 512).matrix, 'f32', 0);
    expect(pool.allocatedBytes - before).to.be.at.least(2048 * 512 * 4);
    disposeWeight(weight);
    expect(pool.allocatedBytes - before).to.be.below(2048 * 512 * 4);
  });

  it('larger than a binding are packed, looked up and multiplied in parts, as are many rows', async () => {
    const [outFeatures, columns, rows] = [300, 96, 30];
    const x = stored(rows, columns).values.reverse();
    const device = currentGpuDevice();
    const run = async (format: WeightFormat) => {
      const weight = await weightPacker().pack(stored(outFeatures, columns).matrix, format, 32);
      const [y = new Float32Array()] = await readValuesOf(() => {
        const residual = uniform('r', [rows, outFeatures]);
        const norm = tf.tidy(() => rmsNorm(tf.tensor2d(x, [rows, columns]), tf.ones([columns]), 0));
        const ids = tf.tensor1d([4, 299, 150], 'int32');
        return [
          tf.concat([
            tf.reshape(packedMatMul(norm, weight, { residual }), [-1]),
            tf.reshape(embeddingLookup(ids, weight), [-1]),
          ]),
        ];
      });
      disposeWeight(weight);
      return y;
    };
    for (const format of ['f32', 'bf16', 'int8', 'int4'] as const) {
      const expected = await run(format);
      const limited = limitDevice(device, { maxStorageBufferBindingSize: 12288 });
      try {
        expectClose(await run(format), expected, 1e-5);
        expect(limited.largest()).to.be.at.most(12288);
      } finally {
        limited.restore();
      }
    }
  });

  it('a tensor that no binding holds is refused by a typed error', () => {
    const limited = limitDevice(currentGpuDevice(), { maxStorageBufferBindingSize: 4096 });
    try {
      const [x, ones] = [tf.zeros([64, 64]), tf.ones([64])];
      const { pool } = tensorsOf(tf.backend()).runtime;
      const before = pool.count;
      expect(() => rmsNorm(x, ones, 1e-5)).to.throw(
        GpuOutOfMemoryError,
        /norm_rows reads or writes it at once, and this GPU allows 1 MiB a binding/,
      );
      expect(pool.count, 'the output is freed').to.equal(before);
      tf.dispose([x, ones]);
    } finally {
      limited.restore();
    }
  });

  it('are refused by a typed error where the GPU has no room', async () => {
    const matrix: StoredMatrix = {
      shape: [2 ** 21, 2 ** 11],
      dtype: 'F32',
      readRows: () => {
        throw new Error('nothing is read for it');
      },
    };
    const error = await weightPacker()
      .pack(matrix, 'f32', 0)
      .catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(GpuOutOfMemoryError);
    expect(String(error)).to.match(
      /buffer of 16384 MiB .*smaller dtype .*or use the backend 'simd'/,
    );
  });

  it('outputs of many sizes leave no buffers behind', async () => {
    const { runtime, kernelBackend } = tensorsOf(tf.backend());
    const run = async (length: number) => {
      const ones = tf.ones([11]);
      const x = tf.zeros([3, 11]);
      const y = tf.tidy(() => rmsNorm(tf.concat(Array(length).fill(x)), ones, 1e-5));
      await y.data();
      tf.dispose([x, y, ones]);
    };
    await run(1);
    const before = runtime.pool.count;
    for (let length = 2; length < 7; length++) await run(length);
    expect(runtime.pool.count).to.equal(before);
    expect(kernelBackend.numDataIds()).to.be.below(100);
  });
});
