// SlidingWindowAttention from tfjs-core ops: blocks of queries against the keys in their windows.
import * as tf from '@tensorflow/tfjs-core';
import type { SlidingWindowAttentionAttrs } from '../../kernels.js';
import { defineKernel } from '../../registry.js';

export const slidingWindowAttentionKernel = defineKernel(
  'SlidingWindowAttention',
  ({ q, k, v, cacheK, cacheV }, attrs) => {
    if (!cacheK || !cacheV) return [attendInBlocks(q, k, v, 0, attrs)];
    const { positions } = attrs;
    if (q.shape[1] === 1) return attendOne(q, k, v, cacheK, cacheV, attrs);
    const together = positions.every((p) => p === positions[0]);
    if (together) return attendMany(q, k, v, cacheK, cacheV, attrs);
    const rows = positions.map((position, row) => {
      const one = (t: tf.Tensor) => tf.slice(t, [row, 0, 0, 0], [1, -1, -1, -1]);
      return attendMany(one(q), one(k), one(v), one(cacheK), one(cacheV), {
        ...attrs,
        positions: [position],
      });
    });
    return [0, 1, 2].map((i) =>
      tf.concat(
        rows.map((row) => row[i] ?? q),
        0,
      ),
    );
  },
);

/** A block of queries and the range of keys in their windows. */
export interface Block {
  start: number;
  length: number;
  keyStart: number;
  keyLength: number;
  /** (length, keyLength), added to the scores: 0 inside the window, else very negative. */
  mask: tf.Tensor;
}

/** Splits `length` queries into blocks; query i is at key `offset` + i. */
export function blocksOf(length: number, offset: number, window: number): Block[] {
  const size = Math.max(32, Math.min(window, 256));
  const blocks: Block[] = [];
  let reusable: Block | undefined;
  for (let start = 0; start < length; start += size) {
    const blockLength = Math.min(size, length - start);
    const keyStart = Math.max(0, offset + start - window + 1);
    const keyLength = offset + start + blockLength - keyStart;
    const block = { start, length: blockLength, keyStart, keyLength };
    // Inner blocks are alike and share one mask.
    const same =
      reusable?.length === blockLength &&
      reusable.keyLength === keyLength &&
      reusable.keyStart - reusable.start === keyStart - start;
    const mask = same && reusable ? reusable.mask : blockMask(block, offset, window);
    reusable = { ...block, mask };
    blocks.push(reusable);
  }
  return blocks;
}

function blockMask(block: Omit<Block, 'mask'>, offset: number, window: number): tf.Tensor {
  const { start, length, keyStart, keyLength } = block;
  const mask = new Float32Array(length * keyLength).fill(-1e30);
  for (let i = 0; i < length; i++) {
    const at = offset + start + i - keyStart;
    mask.fill(0, i * keyLength + Math.max(0, at - window + 1), i * keyLength + at + 1);
  }
  return tf.tensor2d(mask, [length, keyLength]);
}

/** (B, L, H, P) as (B, Hkv, R, L, P): the query heads grouped by key head. */
export function queriesByKeyHead(q: tf.Tensor, kvHeads: number): tf.Tensor {
  const [batch = 0, length = 0, heads = 0, dim = 0] = q.shape;
  const grouped = tf.reshape(q, [batch, length, kvHeads, heads / kvHeads, dim]);
  return tf.transpose(grouped, [0, 2, 3, 1, 4]);
}

/** Inverse: (B, Hkv, R, L, P) as (B, L, H, P). */
export function queriesByToken(q: tf.Tensor): tf.Tensor {
  const [batch = 0, kvHeads = 0, group = 0, length = 0, dim = 0] = q.shape;
  return tf.reshape(tf.transpose(q, [0, 3, 1, 2, 4]), [batch, length, kvHeads * group, dim]);
}

/** (B, Hkv, R, length, P) of a block as the rows of one matmul, (B, Hkv, R length, P). */
export function blockRows(q: tf.Tensor, { start, length }: Block): tf.Tensor {
  const [batch = 0, kvHeads = 0, group = 0, , dim = 0] = q.shape;
  const rows = tf.slice(q, [0, 0, 0, start, 0], [batch, kvHeads, group, length, dim]);
  return tf.reshape(rows, [batch, kvHeads, group * length, dim]);
}

/** The keys or values (B, Hkv, K, P) of a block. */
export function blockKeys(k: tf.Tensor, { keyStart, keyLength }: Block): tf.Tensor {
  return tf.slice(k, [0, 0, keyStart, 0], [-1, -1, keyLength, -1]);
}

/** Attention weights of a block: (B, Hkv, R length, keyLength). */
export function blockWeights(
  rows: tf.Tensor,
  keys: tf.Tensor,
  block: Block,
  scale: number,
): tf.Tensor {
  const [batch = 0, kvHeads = 0, groupRows = 0] = rows.shape;
  const scores = tf.mul(tf.matMul(rows, keys, false, true), scale);
  const byHead = [batch, kvHeads, groupRows / block.length, block.length, block.keyLength];
  const masked = tf.add(tf.reshape(scores, byHead), block.mask);
  return tf.reshape(tf.softmax(masked), [batch, kvHeads, groupRows, block.keyLength]);
}

/** q (B, L, H, P) against keys and values (B, K, Hkv, P), the first `offset` of which are older. */
function attendInBlocks(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  offset: number,
  { window, scale }: SlidingWindowAttentionAttrs,
): tf.Tensor {
  const [batch = 0, length = 0, heads = 0, dim = 0] = q.shape;
  const kvHeads = k.shape[2] ?? 1;
  const queries = queriesByKeyHead(q, kvHeads);
  const keys = tf.transpose(k, [0, 2, 1, 3]);
  const values = tf.transpose(v, [0, 2, 1, 3]);
  const parts = blocksOf(length, offset, window).map((block) =>
    tf.tidy(() => {
      const rows = blockRows(queries, block);
      const weights = blockWeights(rows, blockKeys(keys, block), block, scale);
      const y = tf.matMul(weights, blockKeys(values, block));
      return tf.reshape(y, [batch, kvHeads, heads / kvHeads, block.length, dim]);
    }),
  );
  return queriesByToken(tf.concat(parts, 3));
}

/** Several tokens after `position` older ones, all rows of the batch at the same position. */
function attendMany(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  cacheK: tf.Tensor,
  cacheV: tf.Tensor,
  attrs: SlidingWindowAttentionAttrs,
): tf.Tensor[] {
  const position = attrs.positions[0] ?? 0;
  const capacity = cacheK.shape[1] ?? 0;
  // The whole cache, not only the first query's window: the new cache is cut from it too.
  const known = Math.min(position, capacity);
  const keys = tf.concat([inTimeOrder(cacheK, position, known), k], 1);
  const values = tf.concat([inTimeOrder(cacheV, position, known), v], 1);
  const end = position + (q.shape[1] ?? 0);
  return [
    attendInBlocks(q, keys, values, known, attrs),
    asCache(keys, end, capacity),
    asCache(values, end, capacity),
  ];
}

/** The last `count` tokens of a cache with `position` tokens, oldest first. */
function inTimeOrder(cache: tf.Tensor, position: number, count: number): tf.Tensor {
  const [batch = 0, capacity = 0, heads = 0, dim = 0] = cache.shape;
  const first = (position - count) % capacity;
  const untilEnd = Math.min(count, capacity - first);
  const cut = (at: number, size: number) =>
    tf.slice(cache, [0, at, 0, 0], [batch, size, heads, dim]);
  return untilEnd === count
    ? cut(first, count)
    : tf.concat([cut(first, untilEnd), cut(0, count - untilEnd)], 1);
}

/** The last tokens of `all` (B, K, Hkv, P), which ends at position `end`, at their slots. */
function asCache(all: tf.Tensor, end: number, capacity: number): tf.Tensor {
  const [batch = 0, count = 0, heads = 0, dim = 0] = all.shape;
  const cut = (at: number, size: number) => tf.slice(all, [0, at, 0, 0], [batch, size, heads, dim]);
  if (end <= capacity) {
    const empty = capacity - end;
    return tf.pad(cut(count - end, end), [
      [0, 0],
      [0, empty],
      [0, 0],
      [0, 0],
    ]);
  }
  const wrapped = end % capacity;
  if (wrapped === 0) return cut(count - capacity, capacity);
  return tf.concat([cut(count - wrapped, wrapped), cut(count - capacity, capacity - wrapped)], 1);
}

/** One token, each row at its own position: writes it to its slot, then attends to the slots in use. */
function attendOne(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  cacheK: tf.Tensor,
  cacheV: tf.Tensor,
  { positions, scale }: SlidingWindowAttentionAttrs,
): tf.Tensor[] {
  const [batch = 0, capacity = 0, kvHeads = 0, dim = 0] = cacheK.shape;
  const heads = q.shape[2] ?? 0;
  const slots = positions.map((position) => position % capacity);
  const newK = writeToken(cacheK, k, slots);
  const newV = writeToken(cacheV, v, slots);

  const used = Math.min(Math.max(...positions) + 1, capacity);
  const unused = new Float32Array(batch * used);
  positions.forEach((position, row) => {
    unused.fill(-1e30, row * used + Math.min(position + 1, used), (row + 1) * used);
  });
  const inUse = (cache: tf.Tensor) =>
    tf.transpose(tf.slice(cache, [0, 0, 0, 0], [batch, used, kvHeads, dim]), [0, 2, 1, 3]);
  const rows = tf.reshape(q, [batch, kvHeads, heads / kvHeads, dim]);
  const scores = tf.mul(tf.matMul(rows, inUse(newK), false, true), scale);
  const masked = tf.add(scores, tf.tensor4d(unused, [batch, 1, 1, used]));
  const y = tf.matMul(tf.softmax(masked), inUse(newV));
  return [tf.reshape(y, [batch, 1, heads, dim]), newK, newV];
}

/** The cache with `token` (B, 1, Hkv, P) at each row's slot. */
function writeToken(cache: tf.Tensor, token: tf.Tensor, slots: readonly number[]): tf.Tensor {
  const [batch = 0, capacity = 0, heads = 0, dim = 0] = cache.shape;
  const write = (row: number, rows: number, slot: number) => {
    const cut = (at: number, size: number) =>
      tf.slice(cache, [row, at, 0, 0], [rows, size, heads, dim]);
    return tf.concat(
      [
        ...(slot > 0 ? [cut(0, slot)] : []),
        tf.slice(token, [row, 0, 0, 0], [rows, 1, heads, dim]),
        ...(slot < capacity - 1 ? [cut(slot + 1, capacity - slot - 1)] : []),
      ],
      1,
    );
  };
  const [first = 0] = slots;
  if (slots.every((slot) => slot === first)) return write(0, batch, first);
  return tf.concat(slots.map((slot, row) => write(row, 1, slot)));
}
