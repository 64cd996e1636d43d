// Attention with and without a cache, compared with composed attention on tfjs's CPU backend.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { attentionMixer, rowsWeight, slidingWindowAttention } from '../../src/index.js';
import { uniform } from './both.js';
import { fuzzOn, integer, type TestedBackend } from './fuzz.js';

export function attentionCases(backend: TestedBackend): void {
  const fuzz = fuzzOn(backend);

  fuzz(
    'slidingWindowAttention without a cache',
    fc.record({
      batch: integer(1, 2),
      length: integer(1, 41),
      kvHeads: integer(1, 3),
      group: integer(1, 3),
      dim: integer(1, 17),
      window: fc.option(integer(1, 44)),
    }),
    ({ batch, length, kvHeads, group, dim, window }) => {
      const q = uniform('q', [batch, length, kvHeads * group, dim], 2);
      const k = uniform('k', [batch, length, kvHeads, dim], 2);
      const v = uniform('v', [batch, length, kvHeads, dim]);
      return [slidingWindowAttention(q, k, v, { window }).y];
    },
  );

  const cacheCases = {
    positions: fc.array(integer(0, 30), { minLength: 1, maxLength: 3 }),
    length: integer(1, 14),
    kvHeads: integer(1, 3),
    group: integer(1, 2),
    dim: integer(1, 9),
    window: integer(1, 20),
  };

  fuzz(
    'slidingWindowAttention with a cache, rows at their own positions',
    fc.record(cacheCases),
    ({ positions, length, kvHeads, group, dim, window }) => {
      const batch = positions.length;
      const cache = {
        k: uniform('rk', [batch, window, kvHeads, dim]),
        v: uniform('rv', [batch, window, kvHeads, dim]),
        positions,
      };
      const q = uniform('q', [batch, length, kvHeads * group, dim], 2);
      const k = uniform('k', [batch, length, kvHeads, dim], 2);
      const v = uniform('v', [batch, length, kvHeads, dim]);
      const { y, cache: after } = slidingWindowAttention(q, k, v, { window, cache });
      return after ? [y, used(after.k, after.positions), used(after.v, after.positions)] : [y];
    },
  );

  fuzz(
    'attentionMixer, with a cache and without',
    fc.record({ ...cacheCases, hasCache: fc.boolean(), hasBias: fc.boolean() }),
    ({ positions, length, kvHeads, group, dim: headDim, window, hasCache, hasBias }) => {
      const [batch, dModel, heads] = [positions.length, 12, kvHeads * group];
      const projection = (heads + 2 * kvHeads) * headDim;
      const cacheShape = [batch, window, kvHeads, headDim];
      const { y, cache } = attentionMixer(
        uniform('x', [batch, length, dModel]),
        {
          inProj: rowsWeight(uniform('in', [projection, dModel])),
          inProjBias: hasBias ? uniform('inb', [projection]) : undefined,
          outProj: rowsWeight(uniform('out', [dModel, heads * headDim])),
          outProjBias: hasBias ? uniform('outb', [dModel]) : undefined,
        },
        { heads, kvHeads, headDim, window, scale: 0.4 },
        hasCache
          ? { k: uniform('rk', cacheShape), v: uniform('rv', cacheShape), positions }
          : undefined,
        hasBias ? uniform('r', [batch, length, dModel]) : undefined,
      );
      return cache ? [y, used(cache.k, cache.positions), used(cache.v, cache.positions)] : [y];
    },
    { tolerance: 5e-5 },
  );
}

/** The filled slots of a cache; the others as 0, since unused slots may contain anything. */
function used(cache: tf.Tensor, positions: readonly number[]): tf.Tensor {
  const [batch = 0, capacity = 0] = cache.shape;
  const mask = new Float32Array(batch * capacity);
  positions.forEach((position, row) => {
    mask.fill(1, row * capacity, row * capacity + Math.min(position, capacity));
  });
  return tf.mul(cache, tf.tensor4d(mask, [batch, capacity, 1, 1]));
}
