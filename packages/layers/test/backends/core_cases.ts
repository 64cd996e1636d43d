// tfjs's own ops compared with those of tfjs's CPU backend.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { uniform, useCpu, valuesOf } from './both.js';
import { fuzzOn, integer, type TestedBackend } from './fuzz.js';

const size = integer(1, 9);
const shapes = fc.array(integer(1, 5), { minLength: 1, maxLength: 5 });

export function coreCases(backend: TestedBackend): void {
  const fuzz = fuzzOn(backend);

  fuzz(
    'slice, split, concat, pad, transpose, gather and cast',
    fc.record({ shape: shapes, a: fc.nat(), b: fc.nat() }),
    ({ shape, a, b }) => {
      const axis = a % shape.length;
      const begin = shape.map((n, i) => (b >> i) % n);
      const sizes = shape.map((n, i) => 1 + ((a >> i) % (n - (begin[i] ?? 0))));
      const perm = shape.map((_, i) => (i + a) % shape.length);
      const x = uniform('x', shape);
      const ids = tf.tensor1d([b % (shape[0] ?? 1), 0], 'int32');
      const pads = shape.map((_, i): [number, number] => [(a >> i) % 3, (b >> i) % 2]);
      return [
        tf.slice(x, begin, sizes),
        ...tf.split(x, shape[axis] ?? 1, axis),
        tf.concat([x, uniform('y', shape), x], axis),
        tf.pad(x, pads, 0.25),
        tf.transpose(x, perm),
        tf.gather(x, ids, 0),
        tf.gather(x, tf.tensor2d([0, (shape[axis] ?? 1) - 1, 0, 0], [2, 2], 'int32'), axis),
        tf.gather(tf.cast(tf.mul(x, 9), 'int32'), ids, 0),
        ...[tf.onesLike(x), tf.zerosLike(x)],
        tf.mul(x, tf.cast(tf.greater(x, 0), 'float32')),
        tf.add(x, tf.cast(tf.cast(tf.mul(x, 9), 'int32'), 'float32')),
        tf.concat([tf.cast(tf.mul(x, 9), 'int32'), tf.cast(x, 'int32')], axis),
      ];
    },
  );

  fuzz(
    'gather',
    fc.record({
      shape: fc.oneof(
        fc.array(size, { minLength: 1, maxLength: 4 }),
        fc.constantFrom<number[]>([3, 2, 4096], [5, 8192]), // large enough for several threads
      ),
      axis: fc.constantFrom(0, 0, -1),
      places: fc.array(fc.nat(99), { minLength: 1, maxLength: 12 }),
      indexRank: fc.constantFrom(0, 1, 2),
    }),
    ({ shape, axis, places, indexRank }) => {
      const inRange = places.map((place) => place % (shape.at(axis) ?? 1));
      const indices =
        indexRank === 0
          ? tf.scalar(inRange[0] ?? 0, 'int32')
          : tf.tensor(inRange, indexRank === 1 ? undefined : [1, places.length], 'int32');
      return [tf.gather(uniform('x', shape), indices, axis)];
    },
    { tolerance: 0 },
  );

  fuzz(
    'arithmetic with broadcasting, elementwise functions, sums',
    fc.record({ shape: shapes, a: fc.nat(), b: fc.nat() }),
    ({ shape, a, b }) => {
      const x = uniform('x', shape, 3);
      const other = shape.map((n, i) => ((b >> i) % 2 ? 1 : n)).slice(a % shape.length);
      const y = tf.add(tf.abs(uniform('y', other)), 0.5);
      const axes = shape.map((_, i) => i).filter((i) => (a >> i) % 2);
      const positive = tf.add(tf.abs(x), 0.1);
      return [
        ...[tf.add(x, y), tf.sub(x, y), tf.mul(y, x), tf.div(x, y)],
        ...[tf.maximum(x, y), tf.minimum(y, x), tf.addN([x, x, x])],
        ...[tf.neg(x), tf.exp(x), tf.log(positive), tf.sqrt(positive), tf.rsqrt(positive)],
        ...[tf.square(x), tf.abs(x), tf.sigmoid(x), tf.tanh(x), tf.relu(x)],
        ...[tf.reciprocal(y), tf.softplus(x), tf.erf(x), tf.log1p(positive), tf.expm1(x)],
        ...[tf.sum(x, axes), tf.sum(x, axes, true), tf.sum(x)],
      ];
    },
    { tolerance: 1e-5 },
  );

  fuzz(
    'matMul of few rows and many, transposed and not',
    fc.record({
      rows: fc.oneof(size, integer(10, 80), integer(190, 260)),
      columns: fc.oneof(size, integer(1, 410)),
      outFeatures: fc.oneof(size, integer(1, 200)),
      transposeA: fc.boolean(),
      transposeB: fc.boolean(),
    }),
    ({ rows, columns, outFeatures, transposeA, transposeB }) => {
      const a = uniform('a', transposeA ? [columns, rows] : [rows, columns]);
      const b = uniform('b', transposeB ? [outFeatures, columns] : [columns, outFeatures]);
      return [tf.matMul(a, b, transposeA, transposeB)];
    },
  );

  fuzz(
    'matMul of batches, of one matrix for all as well',
    fc.record({
      batch: integer(1, 3),
      rows: integer(1, 70),
      depth: integer(1, 40),
      columns: integer(1, 70),
      left: fc.boolean(),
      right: fc.boolean(),
      shared: fc.boolean(),
    }),
    ({ batch, rows, depth, columns, left, right, shared }) => {
      const x = uniform('x', [batch, ...(left ? [depth, rows] : [rows, depth])]);
      const matrix = right ? [columns, depth] : [depth, columns];
      return [tf.matMul(x, uniform('w', [shared ? 1 : batch, ...matrix]), left, right)];
    },
  );

  fuzz(
    'max over the last axis, and others',
    fc.record({
      shape: fc.array(integer(1, 37), { minLength: 1, maxLength: 3 }),
      keepDims: fc.boolean(),
      axis: fc.constantFrom<number | undefined>(-1, -1, 0, undefined),
    }),
    ({ shape, keepDims, axis }) => [tf.max(uniform('x', shape, 5), axis, keepDims)],
    { tolerance: 0 },
  );

  it('max of a row with a NaN is NaN', async () => {
    for (const use of [useCpu, backend.use]) {
      await use();
      const [values] = valuesOf(() => {
        const rows = [1, 2, Number.NaN, 3, 4, 5, 6, 7, 8, 9, -1, -2, -3, -4, -Infinity];
        return [tf.max(tf.tensor2d(rows, [3, 5]), 1)];
      });
      expect([...(values ?? [])]).to.deep.equal([Number.NaN, 9, -1]);
    }
  });
}
