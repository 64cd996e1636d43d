// bf16 KV caches: attention equals composed attention on rounded values, for any split of the sequence and
// any batch.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  BackendError,
  disposeParameters,
  initParameters,
  type KvCache,
  Parameters,
  SlidingWindowAttention,
  slidingWindowAttention,
} from '../../../src/index.js';
import {
  type KvCacheShape,
  kvCacheFormatOf,
  kvCacheFromBytes,
  kvCacheShapeOf,
  kvCacheValues,
} from '../../../src/internal.js';
import { expectClose, uniform, useCpu, useSimd } from './both.js';

describe('simd: bf16 KV caches', () => {
  before(useSimd);
  after(useSimd);

  const sizes = {
    length: fc.integer({ min: 1, max: 14 }),
    kvHeads: fc.integer({ min: 1, max: 3 }),
    group: fc.integer({ min: 1, max: 2 }),
    dim: fc.constantFrom(8, 16, 24, 32, 40, 64, 72),
    window: fc.integer({ min: 1, max: 40 }),
  };

  it('attention equals composed attention on rounded values, with rows at different positions', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          ...sizes,
          positions: fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 3 }),
        }),
        async ({ positions, length, kvHeads, group, dim, window }) => {
          const batch = positions.length;
          const shape: KvCacheShape = [batch, window, kvHeads, dim];
          const q = uniform('q', [batch, length, kvHeads * group, dim], 2);
          const [k, v] = [
            uniform('k', [batch, length, kvHeads, dim], 2),
            uniform('v', [...q.shape]),
          ];
          const own = tf.slice(v, [0, 0, 0, 0], [batch, length, kvHeads, dim]);
          const known = ['rk', 'rv'].map((seed) => uniform(seed, [...shape]));
          const [rk, rv] = known.map((t) => halves(valuesOf(t)));
          if (!rk || !rv) throw new Error('two caches');
          const cache = { ...caches(rk, rv, shape, 'bf16'), positions };
          const found = slidingWindowAttention(q, k, own, { window, cache });
          const y = Float32Array.from(await found.y.data());
          const after = await bothValues(found.cache);
          expect(kvCacheShapeOf(found.cache?.k ?? q)).to.deep.equal(shape);
          tf.dispose([found.y, found.cache?.k ?? [], found.cache?.v ?? [], cache.k, cache.v]);

          const rounded = [k, own].map((t) => widened(halves(valuesOf(t))));
          const asked = valuesOf(q);
          tf.dispose([q, k, v, own, known]);
          await useCpu();
          const [k32, v32] = rounded.map((values) =>
            tf.tensor(values, [batch, length, kvHeads, dim]),
          );
          const q32 = tf.tensor(asked, [batch, length, kvHeads * group, dim]);
          if (!k32 || !v32) throw new Error('two tensors');
          const plain = { ...caches(widened(rk), widened(rv), shape, 'f32'), positions };
          const expected = slidingWindowAttention(q32, k32, v32, { window, cache: plain });
          expectClose(y, Float32Array.from(expected.y.dataSync()), 2e-5);
          // Unused slots may contain anything.
          const wanted = await bothValues(expected.cache);
          const held = (values: Float32Array) =>
            positions.flatMap((p, row) => {
              const rowSize = values.length / batch;
              const used = (Math.min(p + length, window) / window) * rowSize;
              return [...values.subarray(row * rowSize, row * rowSize + used)];
            });
          expect(after.map(held)).to.deep.equal(wanted.map(held));
          tf.dispose([expected.y, expected.cache?.k ?? [], expected.cache?.v ?? []]);
          tf.dispose([q32, k32, v32, plain.k, plain.v]);
          await useSimd();
        },
      ),
      { numRuns: 40 },
    ));

  it('a sequence gets bitwise identical results for any split, with and without a cache', () =>
    fc.assert(
      fc.property(
        fc.record({
          ...sizes,
          cuts: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 9 }),
        }),
        ({ cuts, kvHeads, group, dim, window }) =>
          tf.tidy(() => {
            const length = cuts.reduce((sum, n) => sum + n, 0);
            const q = uniform('q', [1, length, kvHeads * group, dim], 2);
            const [k, v] = ['k', 'v'].map((seed) => uniform(seed, [1, length, kvHeads, dim], 2));
            if (!k || !v) throw new Error('two tensors');
            const read = (parts: readonly number[]) => {
              const empty = new Uint16Array(0);
              let cache: KvCache = {
                ...caches(empty, empty, [1, 1, kvHeads, dim], 'bf16'),
                positions: [0],
              };
              let start = 0;
              const ys = parts.map((count) => {
                const cut = (t: tf.Tensor) => tf.slice(t, [0, start, 0, 0], [1, count, -1, -1]);
                const out = slidingWindowAttention(cut(q), cut(k), cut(v), { window, cache });
                start += count;
                cache = out.cache ?? cache;
                return out.y;
              });
              return valuesOf(tf.concat(ys, 1));
            };
            const whole = read([length]);
            expect(read(cuts)).to.deep.equal(whole);
            const plain = slidingWindowAttention(q, k, v, { window, rounds: true });
            expect(valuesOf(plain.y)).to.deep.equal(whole);
          }),
      ),
      { numRuns: 40 },
    ));

  it('rounding is to nearest even, and keeps infinities and NaN', async () => {
    const numbers = [1, 1.00390625, 1.01171875, -1.005, 3.4e38, Infinity, NaN, 1e-40];
    const k = tf.tensor(numbers, [1, 1, 1, 8]);
    const empty = new Uint16Array(0);
    const cache = { ...caches(empty, empty, [1, 1, 1, 8], 'bf16'), positions: [0] };
    const { y, cache: after } = slidingWindowAttention(k, k, k, { window: 1, cache });
    const found = await kvCacheValues(after?.k ?? k);
    expect([...found.subarray(0, 4)]).to.deep.equal([1, 1, 1.015625, -1.0078125]);
    expect([...found.subarray(4, 7)]).to.deep.equal([Infinity, Infinity, NaN]);
    expect(found[7]).to.be.closeTo(1e-40, 1e-41);
    tf.dispose([k, y, cache.k, cache.v, after?.k ?? [], after?.v ?? []]);
  });

  it('are used with weights that are not f32; states grow, clone, gather and concatenate', async () => {
    const config = { dModel: 16, numHeads: 2, headDim: 8, window: 50 };
    const specs = SlidingWindowAttention.parameters(config);
    const exact = await layerOf('f32');
    const plain = exact.layer.initialState(1);
    expect(kvCacheFormatOf(plain.k)).to.equal('f32');
    plain.dispose();
    disposeParameters(exact.parameters);

    const { layer, parameters } = await layerOf('bf16');
    const texts = [uniform('a', [1, 70, 16]), uniform('b', [1, 9, 16])];
    const states = texts.map((text) => {
      const state = layer.initialState(1);
      expect(kvCacheFormatOf(state.k)).to.equal('bf16');
      layer.forward(text, state).dispose();
      return state;
    });
    expect(states.map(({ k }) => kvCacheShapeOf(k)[1])).to.deep.equal([50, 32]);
    const token = uniform('t', [1, 1, 16]);
    const alone = states.map((state) => {
      const copy = state.clone();
      const y = layer.forward(token, copy);
      copy.dispose();
      return valuesOf(y);
    });
    const joined = layer.initialState(1).concat(states).gather([1, 2]);
    const gathered = joined.gather([1, 0, 1]);
    const y = layer.forward(tf.concat([token, token, token]), gathered);
    const rows = tf.split(y, 3).map(valuesOf);
    expect(rows).to.deep.equal([alone[1], alone[0], alone[1]]);
    for (const state of [...states, joined, gathered]) state.dispose();
    tf.dispose([...texts, token, y]);
    disposeParameters(parameters);

    async function layerOf(format: 'f32' | 'bf16') {
      const made = await initParameters(specs, 'cache', { format });
      return { parameters: made, layer: new SlidingWindowAttention(config, new Parameters(made)) };
    }
  });

  it('are refused by a backend without them, by name', async () => {
    await useCpu();
    const q = uniform('q', [1, 1, 2, 8]);
    const words = tf.zeros([1, 2, 4, 4], 'int32');
    const cache = { k: words, v: words, positions: [2] };
    expect(() => slidingWindowAttention(q, q, q, { window: 4, cache }))
      .to.throw(BackendError)
      .with.property('message')
      .that.contains("the backend 'cpu' supports only f32 KV caches");
    tf.dispose([q, words]);
    await useSimd();
  });
});

/** A cache with the given values, or zeros. */
function caches<T extends Uint16Array | Float32Array>(
  k: T,
  v: T,
  shape: KvCacheShape,
  format: 'bf16' | 'f32',
): { k: tf.Tensor; v: tf.Tensor } {
  const size = shape.reduce((a, b) => a * b, format === 'bf16' ? 2 : 4);
  const [rk, rv] = [k, v].map((values) => {
    const bytes = new Uint8Array(size);
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return kvCacheFromBytes(bytes, shape, format);
  });
  if (!rk || !rv) throw new Error('two caches');
  return { k: rk, v: rv };
}

function valuesOf(tensor: tf.Tensor): Float32Array {
  return Float32Array.from(tensor.dataSync());
}

/** The values as bf16, rounded to nearest even. */
function halves(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (b) => (b + 0x7fff + ((b >>> 16) & 1)) >>> 16);
}

function widened(numbers: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(numbers, (half) => half << 16).buffer);
}

function bothValues(cache: KvCache | undefined): Promise<Float32Array[]> {
  if (!cache) throw new Error('a cache was given');
  return Promise.all([kvCacheValues(cache.k), kvCacheValues(cache.v)]);
}
