// Runs ops composed on tfjs's CPU backend and with the kernels of another backend, and compares the results.
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { expect } from 'chai';
import fc from 'fast-check';
import seedrandom from 'seedrandom';
import { disposeWeight, useBackend, weightPacker } from '../../src/index.js';

export async function useCpu(): Promise<void> {
  await useBackend('cpu');
}

/** Values in [-scale, scale), determined by the seed. */
export function uniform(seed: string, shape: number[], scale = 1): tf.Tensor {
  const random = seedrandom(seed);
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => {
    return (2 * random() - 1) * scale;
  });
  return tf.tensor(values, shape);
}

/** The values that `run` returns on the current backend. All tensors are disposed. */
export function valuesOf(run: () => tf.Tensor[]): Float32Array[] {
  const before = tf.memory().numTensors;
  const tensors = tf.tidy(run);
  const values = tensors.map((t) => Float32Array.from(t.dataSync()));
  tf.dispose(tensors);
  expect(tf.memory().numTensors, 'tensors left behind').to.equal(before);
  return values;
}

/** valuesOf for backends with asynchronous reads only. */
export async function readValuesOf(run: () => tf.Tensor[]): Promise<Float32Array[]> {
  const before = tf.memory().numTensors;
  const tensors = tf.tidy(run);
  const values = await Promise.all(tensors.map(async (t) => Float32Array.from(await t.data())));
  tf.dispose(tensors);
  expect(tf.memory().numTensors, 'tensors left behind').to.equal(before);
  return values;
}

/**
 * `run` returns equal values on the CPU backend and on the one that `use` selects, within `tolerance` of the
 * largest value.
 */
export async function expectSameAsCpu(
  use: () => Promise<void>,
  run: () => tf.Tensor[],
  tolerance = 2e-5,
): Promise<void> {
  await useCpu();
  const expected = valuesOf(run);
  await use();
  const found = await readValuesOf(run);
  expect(found.length).to.equal(expected.length);
  expected.forEach((values, i) => {
    expectClose(found[i] ?? new Float32Array(), values, tolerance, `output ${i}`);
  });
}

export function expectClose(
  found: Float32Array,
  expected: Float32Array,
  tolerance: number,
  what = 'values',
): void {
  expect(found.length, what).to.equal(expected.length);
  const largest = expected.reduce((top, v) => Math.max(top, Math.abs(v)), 1);
  let worst = 0;
  expected.forEach((v, j) => {
    const error = Math.abs(v - (found[j] ?? Number.NaN)) / largest;
    worst = Math.max(worst, error); // NaN equals NaN
  });
  expect(worst, `${what}: error against the largest number, ${largest}`).to.be.at.most(tolerance);
}

/** A matrix packed as int4 by the current backend and unpacked. Some of its columns are small beside others. */
export async function int4Values(
  rows: number,
  columns: number,
  groupSize: number,
): Promise<Float32Array> {
  const random = seedrandom(`${rows} ${columns}`);
  const sizes = Array.from({ length: columns }, () => (random() < 0.1 ? 0.2 * random() : 1));
  const values = Float32Array.from({ length: rows * columns }, (_, i) => {
    return (random() - random()) * (sizes[i % columns] ?? 1);
  });
  const readRows = (first: number, count: number) =>
    new Uint8Array(values.slice(first * columns, (first + count) * columns).buffer);
  const matrix = { shape: [rows, columns] as const, dtype: 'F32' as const, readRows };
  const weight = await weightPacker().pack(matrix, 'int4', groupSize);
  const unpacked = await weightPacker().unpack(weight);
  disposeWeight(weight);
  return unpacked;
}

/** Matrices are packed as int4 to the same values as by simd. */
export function expectInt4OfSimd(use: () => Promise<void>, numRuns: number): Promise<void> {
  const size = fc.integer({ min: 1, max: 300 });
  return fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 20 }),
      size,
      fc.constantFrom(32, 64),
      async (...of) => {
        await useBackend('simd');
        const expected = await int4Values(...of);
        await use();
        expect(await int4Values(...of)).to.deep.equal(expected);
      },
    ),
    { numRuns },
  );
}
