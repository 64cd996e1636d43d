// Slice and SplitV on `cpu` give what tfjs's own kernels give.
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { useBackend } from '../../src/index.js';

const shapes = fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 5 });
const dtypes = fc.constantFrom<tf.NumericDataType>('float32', 'int32', 'bool');

describe('slices on cpu', () => {
  before(() => useBackend('cpu'));

  /** Numbers from 0, so that each element shows where it is from. */
  function counted(shape: number[], dtype: tf.NumericDataType): tf.Tensor {
    return tf.tidy(() =>
      tf.cast(tf.reshape(tf.range(0, tf.util.sizeFromShape(shape), 1, 'int32'), shape), dtype),
    );
  }

  /** Element by element. */
  function expectSlice(part: tf.Tensor, x: tf.Tensor, begin: readonly number[]): void {
    const [from, to] = [x.bufferSync(), part.bufferSync()];
    for (let i = 0; i < part.size; i++) {
      const place = to.indexToLoc(i);
      const found = to.get(...place);
      expect(found).to.equal(from.get(...place.map((index, axis) => index + (begin[axis] ?? 0))));
    }
    expect(part.dtype).to.equal(x.dtype);
  }

  it('of any shape, place and type', () => {
    const cases = shapes.chain((shape) =>
      fc.record({
        shape: fc.constant(shape),
        dtype: dtypes,
        cuts: fc.tuple(...shape.map((n) => fc.tuple(fc.nat(n), fc.nat(n)))),
      }),
    );
    fc.assert(
      fc.property(cases, ({ shape, dtype, cuts }) => {
        tf.tidy(() => {
          const x = counted(shape, dtype);
          const begin = cuts.map(([a, b]) => Math.min(a, b));
          const size = cuts.map(([a, b]) => Math.abs(a - b));
          const part = tf.slice(x, begin, size);
          expect(part.shape).to.deep.equal(size);
          expectSlice(part, x, begin);
        });
      }),
    );
  });

  it('split along any axis, in equal and in given parts', () => {
    const cases = fc
      .tuple(fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }), fc.nat(3))
      .map(([shape, axis]) => ({ shape, axis: axis % shape.length }));
    fc.assert(
      fc.property(cases, fc.integer({ min: 1, max: 3 }), dtypes, ({ shape, axis }, n, dtype) => {
        tf.tidy(() => {
          const x = counted(shape.with(axis, (shape[axis] ?? 0) * n + 1), dtype);
          const sizes = [...Array.from({ length: n }, () => shape[axis] ?? 0), 1];
          let at = 0;
          for (const [i, part] of tf.split(x, sizes, axis - shape.length).entries()) {
            expect(part.shape[axis]).to.equal(sizes[i]);
            expectSlice(part, x, shape.map(() => 0).with(axis, at));
            at += sizes[i] ?? 0;
          }
          for (const part of tf.split(x, at, axis)) expect(part.shape[axis]).to.equal(1);
        });
      }),
    );
  });

  it('has the gradient of a slice, slices strings, and refuses a place outside', () => {
    tf.tidy(() => {
      const x = counted([2, 3, 4], 'float32');
      const gradient = tf.grad((t: tf.Tensor) => tf.sum(tf.slice(t, [0, 1, 1], [2, 1, 2])))(x);
      expect(gradient.arraySync()).to.deep.equal(
        [0, 1].map(() => [
          [0, 0, 0, 0],
          [0, 1, 1, 0],
          [0, 0, 0, 0],
        ]),
      );
      const words = tf.tensor2d(['a', 'b', 'c', 'd'], [2, 2], 'string');
      expect(tf.slice(words, [0, 1], [2, 1]).arraySync()).to.deep.equal([['b'], ['d']]);
      expect(() => tf.slice(x, [0, 2, 0], [2, 2, 4])).to.throw('slice');
    });
  });

  it('other backends that take over the kernels run them on their own memory', async () => {
    await useBackend('simd');
    const x = counted([2, 3], 'float32');
    for (const [name, attrs] of [
      [tf.Slice, { begin: [0, 1], size: [2, 2] }],
      [tf.SplitV, { numOrSizeSplits: [1, 2], axis: 1 }],
    ] as const) {
      const kernel = tf.getKernel(name, 'cpu').kernelFunc;
      const backend = tf.backend();
      const found = [kernel({ inputs: { x }, backend, attrs: { ...attrs } })].flat().at(-1);
      expect([...backend.readSync(found?.dataId ?? {})]).to.deep.equal([1, 2, 4, 5]);
    }
    x.dispose();
    await useBackend('cpu');
  });

  it('a tensor outlives its slices, and they outlive it', () => {
    const x = counted([2, 4], 'float32');
    const part = tf.slice(x, [0, 1], [2, 2]);
    const row = tf.slice(x, [1, 0], [1, 4]);
    part.dispose();
    expect([...x.dataSync()]).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7]);
    x.dispose();
    expect([...row.dataSync()]).to.deep.equal([4, 5, 6, 7]);
    row.dispose();
  });
});
