// slidingWindowAttention compared with plain attention: any window, grouped heads, and inputs in pieces with
// a cache that grows and wraps, with rows at different positions.
import { type KvCache, slidingWindowAttention } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import { describeOnBackends, tidily } from '../backends.js';
import { Draw, expectClose, Numbers, property, range, size } from '../numbers.js';
import * as reference from '../reference.js';

const anyAttention = fc
  .record({
    batch: size(1, 3),
    length: size(1, 20),
    kvHeads: size(1, 3),
    group: size(1, 3),
    dim: size(1, 4),
    // Windows of each relevant kind: one, small, length - 1, length, more, none.
    window: fc.constantFrom('1', '2', '5', 'length - 1', 'length', 'length + 3', 'none'),
    scale: fc.constantFrom(undefined, 0.3, 2),
  })
  .map(({ window, ...sizes }) => ({ ...sizes, window: windowOf(window, sizes.length) }));
type Attention = typeof anyAttention extends fc.Arbitrary<infer T> ? T : never;

function windowOf(kind: string, length: number): number | null {
  if (kind === 'none') return null;
  if (kind === 'length - 1') return Math.max(1, length - 1);
  if (kind === 'length + 3') return length + 3;
  return kind === 'length' ? length : Number(kind);
}

interface Inputs {
  q: Numbers;
  k: Numbers;
  v: Numbers;
}

function inputsOf({ batch, length, kvHeads, group, dim }: Attention, draw: Draw): Inputs {
  return {
    q: draw.normal([batch, length, kvHeads * group, dim]),
    k: draw.normal([batch, length, kvHeads, dim]),
    v: draw.normal([batch, length, kvHeads, dim]),
  };
}

const expectedOf = ({ q, k, v }: Inputs, { window, scale, dim }: Attention) =>
  reference.attention(q, k, v, window ?? Number.POSITIVE_INFINITY, scale ?? 1 / Math.sqrt(dim));

const optionsOf = ({ window, scale }: Attention) => ({
  window,
  ...(scale !== undefined && { scale }),
});

/** Tokens [start, start + length) of one row, or of all rows. */
function part(t: Numbers, start: number, length: number, row?: number): tf.Tensor {
  const first = row ?? 0;
  return tf.slice(t.tensor(), [first, start, 0, 0], [row === undefined ? -1 : 1, length, -1, -1]);
}

function emptyKvCache(batch: number, capacity: number, { kvHeads, dim }: Attention): KvCache {
  const zeros = () => tf.zeros([batch, capacity, kvHeads, dim]);
  return { k: zeros(), v: zeros(), positions: Array(batch).fill(0) };
}

describeOnBackends('slidingWindowAttention', () => {
  property('is attention to the window', anyAttention, async (one, draw) => {
    const inputs = inputsOf(one, draw);
    const { q, k, v } = inputs;
    const { y } = slidingWindowAttention(q.tensor(), k.tensor(), v.tensor(), optionsOf(one));
    await expectClose(y, expectedOf(inputs, one), 'y');
  });

  // Composed attention uses blocks of 32 queries or more: these lengths have several.
  const longer = fc
    .record({ length: size(33, 150), window: fc.constantFrom(1, 7, 31, 32, 33, 64, 149, null) })
    .map((one) => ({ ...one, batch: 1, kvHeads: 1, group: 2, dim: 2, scale: undefined }));

  property(
    'is attention to the window over several blocks, whole and in pieces',
    longer,
    async (one, draw) => {
      const inputs = inputsOf(one, draw);
      const expected = expectedOf(inputs, one);
      const { q, k, v } = inputs;
      const options = optionsOf(one);
      const whole = slidingWindowAttention(q.tensor(), k.tensor(), v.tensor(), options);
      await expectClose(whole.y, expected, 'y');
      let cache = emptyKvCache(1, Math.min(one.window ?? 8, 8), one);
      let start = 0;
      const parts = draw.parts(one.length).map((length) => {
        const cut = (t: Numbers) => part(t, start, length);
        const out = slidingWindowAttention(cut(q), cut(k), cut(v), { ...options, cache });
        cache = out.cache ?? cache;
        start += length;
        return out.y;
      });
      await expectClose(tf.concat(parts, 1), expected, 'y in pieces');
      await expectCache(cache, k, v, one);
    },
    12,
  );

  property('is the same in any pieces, through a cache', anyAttention, async (one, draw) => {
    const inputs = inputsOf(one, draw);
    const { q, k, v } = inputs;
    const [capacity = 1] = draw.integers(1, Math.min(one.window ?? 6, 6) + 1, 1);
    let cache = emptyKvCache(one.batch, capacity, one);
    let start = 0;
    const parts = draw.parts(one.length).map((length) => {
      const cut = (t: Numbers) => part(t, start, length);
      const out = slidingWindowAttention(cut(q), cut(k), cut(v), { ...optionsOf(one), cache });
      cache = out.cache ?? cache;
      start += length;
      return out.y;
    });
    await expectClose(tf.concat(parts, 1), expectedOf(inputs, one), 'y');
    expect(cache.positions).to.deep.equal(Array(one.batch).fill(one.length));
    await expectCache(cache, k, v, one);
  });

  property('serves rows at different positions', anyAttention, async (one, draw) => {
    const inputs = inputsOf(one, draw);
    const { q, k, v } = inputs;
    // Each row first reads a different number of tokens. Then all read the rest together, up to the shortest
    // row's end.
    const starts = draw.integers(one.batch, one.length);
    const rest = one.length - Math.max(...starts);
    const rows = starts.map((start, row) => {
      const empty = emptyKvCache(1, 1, one);
      if (start === 0) return empty;
      const cut = (t: Numbers) => part(t, 0, start, row);
      const options = { ...optionsOf(one), cache: empty };
      return slidingWindowAttention(cut(q), cut(k), cut(v), options).cache ?? empty;
    });
    let cache = joined(rows);
    const at = (t: Numbers, offset: number, length: number) =>
      tf.concat(starts.map((start, row) => part(t, start + offset, length, row)));
    let offset = 0;
    const parts = draw.parts(rest).map((length) => {
      const cut = (t: Numbers) => at(t, offset, length);
      const out = slidingWindowAttention(cut(q), cut(k), cut(v), { ...optionsOf(one), cache });
      cache = out.cache ?? cache;
      offset += length;
      return out.y;
    });
    const whole = expectedOf(inputs, one);
    const actual = tf.unstack(tf.concat(parts, 1));
    for (const [row, start] of starts.entries()) {
      const expected = new Numbers(
        [rest, ...whole.shape.slice(2)],
        await part(whole, start, rest, row).data(),
      );
      await expectClose(actual[row], expected, `row ${row} from ${start}`);
    }
  });

  it('wraps its cache many times', () =>
    tidily(async () => {
      const one = { batch: 1, length: 40, kvHeads: 1, group: 2, dim: 3, window: 7 };
      const sizes = { ...one, scale: undefined };
      const inputs = inputsOf(sizes, new Draw(3));
      let cache = emptyKvCache(1, 2, sizes);
      const capacities: number[] = [];
      const parts = range(one.length).map((t) => {
        const cut = (numbers: Numbers) => part(numbers, t, 1);
        const { q, k, v } = inputs;
        const out = slidingWindowAttention(cut(q), cut(k), cut(v), { window: 7, cache });
        cache = out.cache ?? cache;
        capacities.push(cache.k.shape[1] ?? 0);
        return out.y;
      });
      await expectClose(tf.concat(parts, 1), expectedOf(inputs, sizes), 'y');
      expect(new Set(capacities)).to.deep.equal(new Set([2, 4, 7]));
    }));

  it('needs memory for length times window, not length squared', () =>
    tidily(async () => {
      const length = 2000;
      const q = tf.ones([1, length, 1, 1]);
      const { kernels } = await tf.profile(() => slidingWindowAttention(q, q, q, { window: 16 }).y);
      const largest = Math.max(...kernels.map(({ bytesAdded }) => bytesAdded));
      expect(largest).to.be.within(4 * length, 4 * length * 16);
    }));
});

/** The rows of several caches with batch size 1, padded to the largest. */
function joined(caches: readonly KvCache[]): KvCache {
  const capacity = Math.max(...caches.map(({ k }) => k.shape[1] ?? 0));
  const join = (parts: tf.Tensor[]) =>
    tf.concat(
      parts.map((t) =>
        tf.pad(t, [
          [0, 0],
          [0, capacity - (t.shape[1] ?? 0)],
          [0, 0],
          [0, 0],
        ]),
      ),
    );
  return {
    k: join(caches.map((cache) => cache.k)),
    v: join(caches.map((cache) => cache.v)),
    positions: caches.flatMap((cache) => cache.positions),
  };
}

/** Each of the last tokens is at its slot, position mod capacity. */
async function expectCache(cache: KvCache, k: Numbers, v: Numbers, one: Attention): Promise<void> {
  const capacity = cache.k.shape[1] ?? 0;
  const held = Math.min(one.length, one.window ?? one.length);
  expect(capacity).to.be.at.least(held);
  expect(capacity).to.be.at.most(one.window ?? 2 * one.length + 6);
  for (const [name, actual, whole] of [['k', cache.k, k] as const, ['v', cache.v, v] as const]) {
    const slots = range(held).map((i) => (one.length - held + i) % capacity);
    const values = await part(whole, one.length - held, held).data();
    const expected = new Numbers([one.batch, held, one.kvHeads, one.dim], values);
    await expectClose(tf.gather(actual, tf.tensor1d(slots, 'int32'), 1), expected, name);
  }
}
