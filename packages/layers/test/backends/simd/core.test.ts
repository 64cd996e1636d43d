// tfjs's own ops by the kernels of 'simd' against those of tfjs's CPU backend.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { expectSame, uniform, useCpu, useSimd, valuesOf } from './both.js';

const size = fc.integer({ min: 1, max: 9 });

describe("simd: tfjs's ops as on the cpu", () => {
  after(useSimd);

  it('gather', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          shape: fc.oneof(
            fc.array(size, { minLength: 1, maxLength: 4 }),
            fc.constantFrom<number[]>([3, 2, 4096], [5, 8192]), // copied by several threads
          ),
          axis: fc.constantFrom(0, 0, -1),
          places: fc.array(fc.nat(99), { minLength: 1, maxLength: 12 }),
          indexRank: fc.constantFrom(0, 1, 2),
        }),
        ({ shape, axis, places, indexRank }) =>
          expectSame(() => {
            const inRange = places.map((place) => place % (shape.at(axis) ?? 1));
            const indices =
              indexRank === 0
                ? tf.scalar(inRange[0] ?? 0, 'int32')
                : tf.tensor(inRange, indexRank === 1 ? undefined : [1, places.length], 'int32');
            return [tf.gather(uniform('x', shape), indices, axis)];
          }, 0),
      ),
    ));

  it('gather refuses an index out of range', async () => {
    await useSimd();
    for (const place of [4, -1]) {
      const before = tf.memory().numTensors;
      expect(() =>
        tf.tidy(() => tf.gather(tf.zeros([4, 2]), tf.tensor1d([0, place], 'int32'))),
      ).to.throw(/gather.*index/i);
      expect(tf.memory().numTensors).to.equal(before);
    }
  });

  it('matMul of few rows and many, transposed and not', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          rows: fc.oneof(
            size,
            fc.integer({ min: 10, max: 80 }),
            fc.integer({ min: 190, max: 260 }),
          ),
          columns: fc.oneof(size, fc.integer({ min: 1, max: 410 })),
          outFeatures: fc.oneof(size, fc.integer({ min: 1, max: 200 })),
          transposeA: fc.boolean(),
          transposeB: fc.boolean(),
        }),
        ({ rows, columns, outFeatures, transposeA, transposeB }) =>
          expectSame(() => {
            const a = uniform('a', transposeA ? [columns, rows] : [rows, columns]);
            const b = uniform('b', transposeB ? [outFeatures, columns] : [columns, outFeatures]);
            return [tf.matMul(a, b, transposeA, transposeB)];
          }),
      ),
      { numRuns: 60 },
    ));

  it('max over the last axis, and others', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 37 }), { minLength: 1, maxLength: 3 }),
        fc.boolean(),
        fc.constantFrom<number | undefined>(-1, -1, 0, undefined),
        (shape, keepDims, axis) =>
          expectSame(() => [tf.max(uniform('x', shape, 5), axis, keepDims)], 0),
      ),
    ));

  it('max of a row with a NaN is NaN', async () => {
    for (const use of [useCpu, useSimd]) {
      await use();
      const [values] = valuesOf(() => {
        const rows = [1, 2, Number.NaN, 3, 4, 5, 6, 7, 8, 9, -1, -2, -3, -4, -Infinity];
        return [tf.max(tf.tensor2d(rows, [3, 5]), 1)];
      });
      expect([...(values ?? [])]).to.deep.equal([Number.NaN, 9, -1]);
    }
  });
});
