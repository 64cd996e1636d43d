// Attention on the tensor cores compared with the f32 kernel on the same device, with and without a cache.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { slidingWindowAttention } from '../../../src/index.js';
import { describeOnCuda, expectClose, uniform, useCuda, valuesOf } from './both.js';

describeOnCuda('cuda: attention in tiles', () => {
  before(useCuda);

  it('equals f32 attention within the rounding of its operands', () =>
    fc.assert(
      fc.property(
        fc.record({
          positions: fc.array(fc.integer({ min: 0, max: 90 }), { minLength: 1, maxLength: 2 }),
          length: fc.integer({ min: 64, max: 150 }),
          kvHeads: fc.integer({ min: 1, max: 2 }),
          group: fc.integer({ min: 1, max: 2 }),
          dim: fc.integer({ min: 1, max: 100 }),
          window: fc.constantFrom(1, 5, 64, 100, 500),
          hasCache: fc.boolean(),
        }),
        ({ positions, length, kvHeads, group, dim, window, hasCache }) => {
          const batch = positions.length;
          const run = (rounds: boolean) =>
            valuesOf(() => {
              const capacity = Math.min(window, 150);
              const shape = [batch, capacity, kvHeads, dim];
              const cache = { k: uniform('rk', shape, 2), v: uniform('rv', shape), positions };
              const q = uniform('q', [batch, length, kvHeads * group, dim], 2);
              const k = uniform('k', [batch, length, kvHeads, dim], 2);
              const v = uniform('v', [batch, length, kvHeads, dim]);
              const options = { window, rounds, cache: hasCache ? cache : undefined };
              const { y, cache: after } = slidingWindowAttention(q, k, v, options);
              return after ? [y, tf.slice(after.k, 0, [1, 1]), tf.slice(after.v, 0, [1, 1])] : [y];
            });
          const [exact = new Float32Array(), ...exactCache] = run(false);
          const [rounded = new Float32Array(), ...cache] = run(true);
          // Scores of large heads reach hundreds, so their rounding affects the exponent.
          expectClose(rounded, exact, 5e-2);
          const squares = exact.reduce((sum, v, i) => sum + (v - (rounded[i] ?? 0)) ** 2, 0);
          const norm = exact.reduce((sum, v) => sum + v * v, 0);
          expect(Math.sqrt(squares / norm)).to.be.below(1.2e-2);
          expect(cache, 'the cache is exact').to.deep.equal(exactCache);
          if (window > 1) expect(rounded, 'another kernel').not.to.deep.equal(exact);
        },
      ),
      { numRuns: 20 },
    ));
});
