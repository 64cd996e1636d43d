// Attention to a window of keys, of which the older ones may stand in a ring.
//
// The keys of a row of the batch are up to three runs in time order: two of the ring (it wraps) and
// the call's own. A query's scores are all kept, its softmax is exact, its sum runs in time order:
// the same operations for one query or many, however they are cut into units.
import { exp4, int, load4, madd, num, ptr, store4, sumLanes, sumLanes4 } from './math';

const Q: usize = 0;
const Q_STRIDE: usize = 1;
const K: usize = 2;
const V: usize = 3;
/** Numbers from one token of k and v to the next. */
const KV_STRIDE: usize = 4;
const Y: usize = 5;
const Y_STRIDE: usize = 6;
/** (B, C, Hkv, P), 0: none. */
const RING_K: usize = 7;
const RING_V: usize = 8;
const CAPACITY: usize = 9;
/** (B) i32 */
const POSITIONS: usize = 10;
const LENGTH: usize = 11;
const HEADS: usize = 12;
const KV_HEADS: usize = 13;
const HEAD_DIM: usize = 14;
const WINDOW: usize = 15;
const SCALE: usize = 16;
/** Queries and key heads of a unit, and how many units a row of the batch has of each. */
const BLOCK: usize = 17;
const HEAD_BLOCK: usize = 18;
const BLOCKS: usize = 19;
const HEAD_BLOCKS: usize = 20;
/** Keys that one query's heads visit in turn: their memory stays in the cache. */
const TILE: i32 = 16;
/** Numbers of a row of scores. */
const SCORES: usize = 21;

/**
 * A unit is a block of queries and of key heads. Scratch: 4 SCORES numbers a query head of the unit's
 * key heads.
 */
export function attention(args: usize, begin: i32, end: i32, scratch: usize): void {
  const blocks = int(args, BLOCKS);
  const headBlocks = int(args, HEAD_BLOCKS);
  const length = int(args, LENGTH);
  for (let unit = begin; unit < end; unit++) {
    const headBlock = unit % headBlocks;
    const block = (unit / headBlocks) % blocks;
    const row = unit / headBlocks / blocks;
    const first = block * int(args, BLOCK);
    const last = min(first + int(args, BLOCK), length);
    const h0 = headBlock * int(args, HEAD_BLOCK);
    const h1 = min(h0 + int(args, HEAD_BLOCK), int(args, KV_HEADS));
    let i = first;
    for (; i + 4 <= last; i += 4) {
      for (let h = h0; h < h1; h++) fourQueries(args, row, i, h, scratch);
    }
    for (; i < last; i++) oneQuery(args, row, i, h0, h1, scratch);
  }
}

function positionOf(args: usize, row: i32): i32 {
  return ptr(args, RING_K) === 0 ? 0 : load<i32>(ptr(args, POSITIONS) + ((<usize>row) << 2));
}

/** The address of the key (or value) of absolute position t, and by `runEnd` where its run ends. */
function keyAt(args: usize, own: usize, ring: usize, row: i32, position: i32, t: i32): usize {
  if (t >= position) {
    const token = <usize>(row * int(args, LENGTH) + t - position);
    return own + ((token * ptr(args, KV_STRIDE)) << 2);
  }
  const capacity = int(args, CAPACITY);
  const slot = <usize>(row * capacity + (t % capacity));
  return ring + ((slot * <usize>(int(args, KV_HEADS) * int(args, HEAD_DIM))) << 2);
}

/** The position after the last of the run that holds position t; at most `end`. */
function runEnd(args: usize, position: i32, t: i32, end: i32): i32 {
  if (t >= position) return end;
  const capacity = int(args, CAPACITY);
  return min(min(end, position), t - (t % capacity) + capacity);
}

function runStride(args: usize, position: i32, t: i32): usize {
  return t >= position
    ? ptr(args, KV_STRIDE) << 2
    : (<usize>(int(args, KV_HEADS) * int(args, HEAD_DIM))) << 2;
}

/** Softmax of `count` scores without the division; returns the sum of the exponentials. */
function exponentials(scores: usize, count: i32, scale: f32): f32 {
  const s = f32x4.splat(scale);
  let top = f32x4.splat(-Infinity);
  let i: i32 = 0;
  for (; i + 4 <= count; i += 4) {
    const v = f32x4.mul(v128.load(scores + ((<usize>i) << 2)), s);
    v128.store(scores + ((<usize>i) << 2), v);
    top = f32x4.max(top, v);
  }
  let top1 = max(
    max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1)),
    max(f32x4.extract_lane(top, 2), f32x4.extract_lane(top, 3)),
  );
  for (; i < count; i++) {
    const v = load<f32>(scores + ((<usize>i) << 2)) * scale;
    store<f32>(scores + ((<usize>i) << 2), v);
    top1 = max(top1, v);
  }
  top = f32x4.splat(top1);
  let sum = f32x4.splat(0);
  for (i = 0; i < count; i += 4) {
    const at = scores + ((<usize>i) << 2);
    store4(at, exp4(f32x4.sub(load4(at, count - i), top)), count - i);
    sum = f32x4.add(sum, load4(at, count - i));
  }
  return sumLanes(sum);
}

/** q . k over `dim` numbers, lanes first. */
function dot(q: usize, k: usize, dim: i32): v128 {
  let sum = f32x4.splat(0);
  let p: i32 = 0;
  for (; p + 4 <= dim; p += 4) {
    const at = (<usize>p) << 2;
    sum = madd(v128.load(q + at), v128.load(k + at), sum);
  }
  if (p < dim) {
    const at = (<usize>p) << 2;
    sum = madd(load4(q + at, dim - p), load4(k + at, dim - p), sum);
  }
  return sum;
}

/** One query of the heads that read key heads [h0, h1): tiles of keys outside, heads inside. */
function oneQuery(args: usize, row: i32, i: i32, h0: i32, h1: i32, scratch: usize): void {
  const dim = int(args, HEAD_DIM);
  const group = int(args, HEADS) / int(args, KV_HEADS);
  const position = positionOf(args, row);
  const end = position + i + 1;
  const start = max(0, end - int(args, WINDOW));
  const scoreBytes = ptr(args, SCORES) << 2;
  const token = <usize>(row * int(args, LENGTH) + i);
  const q = ptr(args, Q) + ((token * ptr(args, Q_STRIDE)) << 2);
  const y = ptr(args, Y) + ((token * ptr(args, Y_STRIDE)) << 2);
  const head0 = h0 * group;
  const head1 = h1 * group;
  const dimBytes = (<usize>dim) << 2;

  for (let t = start; t < end; ) {
    const stop = min(runEnd(args, position, t, end), t + TILE);
    const stride = runStride(args, position, t);
    const k = keyAt(args, ptr(args, K), ptr(args, RING_K), row, position, t);
    let scores = scratch + ((<usize>(t - start)) << 2);
    let h = head0;
    if ((dim & 3) === 0) {
      for (; h + 4 <= head1; h += 4) {
        const k0 = k + <usize>(h / group) * dimBytes;
        const k1 = k + <usize>((h + 1) / group) * dimBytes;
        const k2 = k + <usize>((h + 2) / group) * dimBytes;
        const k3 = k + <usize>((h + 3) / group) * dimBytes;
        fourHeads(
          q + <usize>h * dimBytes,
          dimBytes,
          k0,
          k1,
          k2,
          k3,
          stride,
          stop - t,
          scores,
          scoreBytes,
        );
        scores += scoreBytes << 2;
      }
    }
    for (; h < head1; h++) {
      let at = k + <usize>(h / group) * dimBytes;
      for (let i: i32 = 0; i < stop - t; i++) {
        store<f32>(scores + ((<usize>i) << 2), sumLanes(dot(q + <usize>h * dimBytes, at, dim)));
        at += stride;
      }
      scores += scoreBytes;
    }
    t = stop;
  }
  const sums = scratch + <usize>(head1 - head0) * scoreBytes;
  for (let h = head0; h < head1; h++) {
    const scores = scratch + <usize>(h - head0) * scoreBytes;
    store<f32>(
      sums + ((<usize>(h - head0)) << 2),
      exponentials(scores, end - start, num(args, SCALE)),
    );
    memory.fill(y + <usize>h * dimBytes, 0, dimBytes);
  }
  for (let t = start; t < end; ) {
    const stop = min(runEnd(args, position, t, end), t + TILE);
    const stride = runStride(args, position, t);
    const v = keyAt(args, ptr(args, V), ptr(args, RING_V), row, position, t);
    let weights = scratch + ((<usize>(t - start)) << 2);
    for (let h = head0; h < head1; h++) {
      const at = v + <usize>(h / group) * dimBytes;
      addValues(weights, at, stride, stop - t, y + <usize>h * dimBytes, dim);
      weights += scoreBytes;
    }
    t = stop;
  }
  for (let h = head0; h < head1; h++) {
    divide(y + <usize>h * dimBytes, dim, load<f32>(sums + ((<usize>(h - head0)) << 2)));
  }
}

/** The scores of four heads' queries with `count` keys each. */
function fourHeads(
  q: usize,
  dimBytes: usize,
  k0: usize,
  k1: usize,
  k2: usize,
  k3: usize,
  stride: usize,
  count: i32,
  scores: usize,
  scoreBytes: usize,
): void {
  const q1 = q + dimBytes;
  const q2 = q1 + dimBytes;
  const q3 = q2 + dimBytes;
  const last = scores + ((<usize>count) << 2);
  for (; scores < last; scores += 4) {
    let a = f32x4.splat(0);
    let b = f32x4.splat(0);
    let c = f32x4.splat(0);
    let d = f32x4.splat(0);
    for (let at: usize = 0; at < dimBytes; at += 16) {
      a = madd(v128.load(q + at), v128.load(k0 + at), a);
      b = madd(v128.load(q1 + at), v128.load(k1 + at), b);
      c = madd(v128.load(q2 + at), v128.load(k2 + at), c);
      d = madd(v128.load(q3 + at), v128.load(k3 + at), d);
    }
    const s = sumLanes4(a, b, c, d);
    store<f32>(scores, f32x4.extract_lane(s, 0));
    store<f32>(scores + scoreBytes, f32x4.extract_lane(s, 1));
    store<f32>(scores + (scoreBytes << 1), f32x4.extract_lane(s, 2));
    store<f32>(scores + scoreBytes * 3, f32x4.extract_lane(s, 3));
    k0 += stride;
    k1 += stride;
    k2 += stride;
    k3 += stride;
  }
}

/** y += the sum of `count` values, each times its weight, in their order. */
function addValues(weights: usize, v: usize, stride: usize, count: i32, y: usize, dim: i32): void {
  const last = weights + ((<usize>count) << 2);
  let p: i32 = 0;
  for (; p + 32 <= dim; p += 32) {
    let at = v + ((<usize>p) << 2);
    const to = y + ((<usize>p) << 2);
    let y0 = v128.load(to);
    let y1 = v128.load(to, 16);
    let y2 = v128.load(to, 32);
    let y3 = v128.load(to, 48);
    let y4 = v128.load(to, 64);
    let y5 = v128.load(to, 80);
    let y6 = v128.load(to, 96);
    let y7 = v128.load(to, 112);
    for (let w = weights; w < last; w += 4) {
      const weight = v128.load32_splat(w);
      y0 = madd(v128.load(at), weight, y0);
      y1 = madd(v128.load(at, 16), weight, y1);
      y2 = madd(v128.load(at, 32), weight, y2);
      y3 = madd(v128.load(at, 48), weight, y3);
      y4 = madd(v128.load(at, 64), weight, y4);
      y5 = madd(v128.load(at, 80), weight, y5);
      y6 = madd(v128.load(at, 96), weight, y6);
      y7 = madd(v128.load(at, 112), weight, y7);
      at += stride;
    }
    v128.store(to, y0);
    v128.store(to, y1, 16);
    v128.store(to, y2, 32);
    v128.store(to, y3, 48);
    v128.store(to, y4, 64);
    v128.store(to, y5, 80);
    v128.store(to, y6, 96);
    v128.store(to, y7, 112);
  }
  if (p === dim) return;
  let at = v + ((<usize>p) << 2);
  for (let w = weights; w < last; w += 4) {
    addScaled(v128.load32_splat(w), at, y + ((<usize>p) << 2), dim - p);
    at += stride;
  }
}

/** y += weight v */
function addScaled(weight: v128, v: usize, y: usize, dim: i32): void {
  let p: i32 = 0;
  for (; p + 4 <= dim; p += 4) {
    const at = (<usize>p) << 2;
    v128.store(y + at, madd(v128.load(v + at), weight, v128.load(y + at)));
  }
  if (p < dim) {
    const at = (<usize>p) << 2;
    store4(y + at, madd(load4(v + at, dim - p), weight, load4(y + at, dim - p)), dim - p);
  }
}

function divide(y: usize, dim: i32, by: f32): void {
  const d = f32x4.splat(by);
  for (let p: i32 = 0; p < dim; p += 4) {
    const at = y + ((<usize>p) << 2);
    store4(at, f32x4.div(load4(at, dim - p), d), dim - p);
  }
}

/** Queries i ... i + 3 of the heads that read key head h. */
function fourQueries(args: usize, row: i32, i: i32, h: i32, scratch: usize): void {
  const dim = int(args, HEAD_DIM);
  const group = int(args, HEADS) / int(args, KV_HEADS);
  const position = positionOf(args, row);
  const window = int(args, WINDOW);
  const start = max(0, position + i + 1 - window);
  const end = position + i + 4;
  const scoreBytes = ptr(args, SCORES) << 2;
  const qStride = ptr(args, Q_STRIDE) << 2;
  const yStride = ptr(args, Y_STRIDE) << 2;
  const token = <usize>(row * int(args, LENGTH) + i);
  const keyHead = (<usize>h * <usize>dim) << 2;
  const sums = scratch + (scoreBytes << 2);
  for (let r: i32 = 0; r < group; r++) {
    const head = (<usize>(h * group + r) * <usize>dim) << 2;
    const q = ptr(args, Q) + token * qStride + head;
    const y = ptr(args, Y) + token * yStride + head;
    for (let t = start; t < end; ) {
      const stop = runEnd(args, position, t, end);
      const stride = runStride(args, position, t);
      let k = keyAt(args, ptr(args, K), ptr(args, RING_K), row, position, t) + keyHead;
      for (; t < stop; t++) {
        const s = fourDots(q, qStride, k, dim);
        const at = scratch + ((<usize>(t - start)) << 2);
        store<f32>(at, f32x4.extract_lane(s, 0));
        store<f32>(at + scoreBytes, f32x4.extract_lane(s, 1));
        store<f32>(at + (scoreBytes << 1), f32x4.extract_lane(s, 2));
        store<f32>(at + scoreBytes * 3, f32x4.extract_lane(s, 3));
        k += stride;
      }
    }
    for (let j: i32 = 0; j < 4; j++) {
      const scores = scratch + <usize>j * scoreBytes;
      const own = max(0, position + i + j + 1 - window) - start;
      const ownEnd = position + i + j + 1 - start;
      const sum = exponentials(scores + ((<usize>own) << 2), ownEnd - own, num(args, SCALE));
      memory.fill(scores, 0, (<usize>own) << 2);
      memory.fill(scores + ((<usize>ownEnd) << 2), 0, (<usize>(end - start - ownEnd)) << 2);
      store<f32>(sums + ((<usize>j) << 2), sum);
      memory.fill(y + <usize>j * yStride, 0, (<usize>dim) << 2);
    }
    for (let t = start; t < end; ) {
      const stop = runEnd(args, position, t, end);
      const stride = runStride(args, position, t);
      const v = keyAt(args, ptr(args, V), ptr(args, RING_V), row, position, t) + keyHead;
      const weights = scratch + ((<usize>(t - start)) << 2);
      fourSums(weights, scoreBytes, v, stride, stop - t, y, yStride, dim);
      t = stop;
    }
    for (let j: usize = 0; j < 4; j++) divide(y + j * yStride, dim, load<f32>(sums + (j << 2)));
  }
}

/** The scores of four queries with one key. */
function fourDots(q: usize, qStride: usize, k: usize, dim: i32): v128 {
  const q1 = q + qStride;
  const q2 = q1 + qStride;
  const q3 = q2 + qStride;
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let d = f32x4.splat(0);
  let p: i32 = 0;
  for (; p + 4 <= dim; p += 4) {
    const at = (<usize>p) << 2;
    const v = v128.load(k + at);
    a = madd(v128.load(q + at), v, a);
    b = madd(v128.load(q1 + at), v, b);
    c = madd(v128.load(q2 + at), v, c);
    d = madd(v128.load(q3 + at), v, d);
  }
  if (p < dim) {
    const at = (<usize>p) << 2;
    const lanes = dim - p;
    const v = load4(k + at, lanes);
    a = madd(load4(q + at, lanes), v, a);
    b = madd(load4(q1 + at, lanes), v, b);
    c = madd(load4(q2 + at, lanes), v, c);
    d = madd(load4(q3 + at, lanes), v, d);
  }
  return sumLanes4(a, b, c, d);
}

/** y (4 rows) += weights (4 rows, count) times v (count, dim). */
function fourSums(
  weights: usize,
  weightStride: usize,
  v: usize,
  stride: usize,
  count: i32,
  y: usize,
  yStride: usize,
  dim: i32,
): void {
  const last = weights + ((<usize>count) << 2);
  let p: i32 = 0;
  for (; p + 8 <= dim; p += 8) {
    const y0 = y + ((<usize>p) << 2);
    const y1 = y0 + yStride;
    const y2 = y1 + yStride;
    const y3 = y2 + yStride;
    let a0 = v128.load(y0);
    let a1 = v128.load(y0, 16);
    let b0 = v128.load(y1);
    let b1 = v128.load(y1, 16);
    let c0 = v128.load(y2);
    let c1 = v128.load(y2, 16);
    let d0 = v128.load(y3);
    let d1 = v128.load(y3, 16);
    let at = v + ((<usize>p) << 2);
    for (let w = weights; w < last; w += 4) {
      const v0 = v128.load(at);
      const v1 = v128.load(at, 16);
      at += stride;
      let t = v128.load32_splat(w);
      a0 = madd(v0, t, a0);
      a1 = madd(v1, t, a1);
      t = v128.load32_splat(w + weightStride);
      b0 = madd(v0, t, b0);
      b1 = madd(v1, t, b1);
      t = v128.load32_splat(w + (weightStride << 1));
      c0 = madd(v0, t, c0);
      c1 = madd(v1, t, c1);
      t = v128.load32_splat(w + weightStride * 3);
      d0 = madd(v0, t, d0);
      d1 = madd(v1, t, d1);
    }
    v128.store(y0, a0);
    v128.store(y0, a1, 16);
    v128.store(y1, b0);
    v128.store(y1, b1, 16);
    v128.store(y2, c0);
    v128.store(y2, c1, 16);
    v128.store(y3, d0);
    v128.store(y3, d1, 16);
  }
  if (p === dim) return;
  for (let j: usize = 0; j < 4; j++) {
    let at = v + ((<usize>p) << 2);
    const to = y + j * yStride + ((<usize>p) << 2);
    for (let w = weights; w < last; w += 4) {
      addScaled(v128.load32_splat(w + j * weightStride), at, to, dim - p);
      at += stride;
    }
  }
}

/**
 * Writes tokens into the ring. Words: k, v, their stride, ringK, ringV, capacity, numbers of a token,
 * positions, length. A unit is a token; those that later ones of the call overwrite are left out.
 */
export function writeRing(args: usize, begin: i32, end: i32): void {
  const capacity = int(args, 5);
  const size = ptr(args, 6);
  const length = int(args, 8);
  for (let unit = begin; unit < end; unit++) {
    const row = unit / length;
    const i = unit % length;
    if (i + capacity < length) continue;
    const position = load<i32>(ptr(args, 7) + ((<usize>row) << 2)) + i;
    const slot = (<usize>(row * capacity + (position % capacity)) * size) << 2;
    const token = (<usize>unit * ptr(args, 2)) << 2;
    memory.copy(ptr(args, 3) + slot, ptr(args, 0) + token, size << 2);
    memory.copy(ptr(args, 4) + slot, ptr(args, 1) + token, size << 2);
  }
}
