// tfjs's own ops on the device, against those of the CPU backend; and which of them stay there.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { asCuda } from '../../../src/backends/cuda/backend.js';
import { describeOnEmulated, expectSame, uniform, useCuda } from './both.js';

const shapes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 5 });
const runs = { numRuns: 25 };

describeOnEmulated("cuda: tfjs's ops", () => {
  after(useCuda);

  it('slice, split, concat, pad, transpose and gather', () =>
    fc.assert(
      fc.asyncProperty(shapes, fc.nat(), fc.nat(), (shape, a, b) => {
        const axis = a % shape.length;
        const begin = shape.map((n, i) => (b >> i) % n);
        const size = shape.map((n, i) => 1 + ((a >> i) % (n - (begin[i] ?? 0))));
        const perm = shape.map((_, i) => (i + a) % shape.length);
        return expectSame(() => {
          const x = uniform('x', shape);
          const ids = tf.tensor1d([b % (shape[0] ?? 1), 0], 'int32');
          const pads = shape.map((_, i): [number, number] => [(a >> i) % 3, (b >> i) % 2]);
          return [
            tf.slice(x, begin, size),
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
        });
      }),
      runs,
    ));

  it('arithmetic with broadcasting, elementwise functions, sums', () =>
    fc.assert(
      fc.asyncProperty(shapes, fc.nat(), fc.nat(), (shape, a, b) =>
        expectSame(() => {
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
        }, 1e-5),
      ),
      runs,
    ));

  it('matrix products, transposed and in batches', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: fc.integer({ min: 1, max: 3 }),
          rows: fc.integer({ min: 1, max: 70 }),
          depth: fc.integer({ min: 1, max: 40 }),
          columns: fc.integer({ min: 1, max: 70 }),
          left: fc.boolean(),
          right: fc.boolean(),
          shared: fc.boolean(),
        }),
        ({ batch, rows, depth, columns, left, right, shared }) =>
          expectSame(() => {
            const b = shared ? 1 : batch;
            const x = uniform('x', [batch, ...(left ? [depth, rows] : [rows, depth])]);
            const w = uniform('w', [b, ...(right ? [columns, depth] : [depth, columns])]);
            return [tf.matMul(x, w, left, right)];
          }),
      ),
      runs,
    ));

  it('keep what they make on the device', async () => {
    await useCuda();
    tf.tidy(() => {
      const x = tf.add(uniform('x', [4, 6]), 1);
      const parts = tf.split(tf.concat([x, x], 1), 3, 1);
      const y = tf.matMul(
        tf.transpose(
          tf.pad(parts[1] ?? x, [
            [1, 0],
            [0, 1],
          ]),
        ),
        tf.ones([5, 2]),
      );
      const ids = tf.tensor1d([1, 1], 'int32');
      const gathered = [tf.gather(y, ids, 0), tf.gather(y, ids, 1), tf.onesLike(y)];
      for (const tensor of [x, ...parts, y, tf.sum(tf.exp(y), 0), ...gathered]) {
        expect(asCuda(tf.backend()).isOnDevice(tensor)).to.equal(true);
      }
    });
  });
});
