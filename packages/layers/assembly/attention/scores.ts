// Dot products of queries with keys, and the softmax of a query's scores.
//
// A dot product is one sum along the head for f32 keys, and two sums (even and odd values) for bf16 keys,
// whose queries are split likewise: the same operations for one query or four.
import { exp4, load4, madd, store4, sumLanes, sumLanes4 } from '../shared/math';
import { evens, odds } from './keys';

/** Scores of one query with `count` keys, `stride` bytes apart. */
export function scoreKeys(
  isBf16: bool,
  q: usize,
  k: usize,
  stride: usize,
  count: i32,
  dim: i32,
  scores: usize,
): void {
  let i: i32 = 0;
  for (; i + 4 <= count; i += 4) {
    v128.store(
      scores + ((<usize>i) << 2),
      isBf16 ? fourKeysBf16(q, k, stride, dim) : fourKeysF32(q, k, stride, dim),
    );
    k += stride << 2;
  }
  for (; i < count; i++) {
    const products = isBf16 ? oneKeyBf16(q, k, dim) : oneKeyF32(q, k, dim);
    store<f32>(scores + ((<usize>i) << 2), sumLanes(products));
    k += stride;
  }
}

/** Scores of four queries, `qStride` bytes apart, with `count` keys; one row each. */
export function scoreKeysOfFour(
  isBf16: bool,
  q: usize,
  qStride: usize,
  k: usize,
  stride: usize,
  count: i32,
  dim: i32,
  scores: usize,
  scoreBytes: usize,
): void {
  const last = scores + ((<usize>count) << 2);
  for (; scores < last; scores += 4) {
    const s = isBf16 ? fourQueriesBf16(q, qStride, k, dim) : fourQueriesF32(q, qStride, k, dim);
    store<f32>(scores, f32x4.extract_lane(s, 0));
    store<f32>(scores + scoreBytes, f32x4.extract_lane(s, 1));
    store<f32>(scores + (scoreBytes << 1), f32x4.extract_lane(s, 2));
    store<f32>(scores + scoreBytes * 3, f32x4.extract_lane(s, 3));
    k += stride;
  }
}

function oneKeyF32(q: usize, k: usize, dim: i32): v128 {
  let sum = f32x4.splat(0);
  for (let p: i32 = 0; p < dim; p += 4) {
    const at = (<usize>p) << 2;
    sum = madd(load4(q + at, dim - p), load4(k + at, dim - p), sum);
  }
  return sum;
}

function oneKeyBf16(q: usize, k: usize, dim: i32): v128 {
  let even = f32x4.splat(0);
  let odd = f32x4.splat(0);
  const end = k + ((<usize>dim) << 1);
  for (; k < end; k += 16) {
    const v = v128.load(k);
    even = madd(v128.load(q), evens(v), even);
    odd = madd(v128.load(q, 16), odds(v), odd);
    q += 32;
  }
  return f32x4.add(even, odd);
}

function fourKeysF32(q: usize, k: usize, stride: usize, dim: i32): v128 {
  const k1 = k + stride;
  const k2 = k1 + stride;
  const k3 = k2 + stride;
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let d = f32x4.splat(0);
  let p: i32 = 0;
  for (; p + 4 <= dim; p += 4) {
    const at = (<usize>p) << 2;
    const x = v128.load(q + at);
    a = madd(x, v128.load(k + at), a);
    b = madd(x, v128.load(k1 + at), b);
    c = madd(x, v128.load(k2 + at), c);
    d = madd(x, v128.load(k3 + at), d);
  }
  if (p < dim) {
    const at = (<usize>p) << 2;
    const lanes = dim - p;
    const x = load4(q + at, lanes);
    a = madd(x, load4(k + at, lanes), a);
    b = madd(x, load4(k1 + at, lanes), b);
    c = madd(x, load4(k2 + at, lanes), c);
    d = madd(x, load4(k3 + at, lanes), d);
  }
  return sumLanes4(a, b, c, d);
}

function fourKeysBf16(q: usize, k: usize, stride: usize, dim: i32): v128 {
  const k1 = k + stride;
  const k2 = k1 + stride;
  const k3 = k2 + stride;
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  let b0 = f32x4.splat(0);
  let b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let d0 = f32x4.splat(0);
  let d1 = f32x4.splat(0);
  const bytes = (<usize>dim) << 1;
  for (let at: usize = 0; at < bytes; at += 16) {
    const even = v128.load(q);
    const odd = v128.load(q, 16);
    q += 32;
    let v = v128.load(k + at);
    a0 = madd(even, evens(v), a0);
    a1 = madd(odd, odds(v), a1);
    v = v128.load(k1 + at);
    b0 = madd(even, evens(v), b0);
    b1 = madd(odd, odds(v), b1);
    v = v128.load(k2 + at);
    c0 = madd(even, evens(v), c0);
    c1 = madd(odd, odds(v), c1);
    v = v128.load(k3 + at);
    d0 = madd(even, evens(v), d0);
    d1 = madd(odd, odds(v), d1);
  }
  return sumLanes4(f32x4.add(a0, a1), f32x4.add(b0, b1), f32x4.add(c0, c1), f32x4.add(d0, d1));
}

function fourQueriesF32(q: usize, qStride: usize, k: usize, dim: i32): v128 {
  // The dot product is symmetric.
  return fourKeysF32(k, q, qStride, dim);
}

function fourQueriesBf16(q: usize, qStride: usize, k: usize, dim: i32): v128 {
  const q1 = q + qStride;
  const q2 = q1 + qStride;
  const q3 = q2 + qStride;
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  let b0 = f32x4.splat(0);
  let b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let d0 = f32x4.splat(0);
  let d1 = f32x4.splat(0);
  const bytes = (<usize>dim) << 2;
  for (let at: usize = 0; at < bytes; at += 32) {
    const v = v128.load(k);
    k += 16;
    const even = evens(v);
    const odd = odds(v);
    a0 = madd(v128.load(q + at), even, a0);
    a1 = madd(v128.load(q + at, 16), odd, a1);
    b0 = madd(v128.load(q1 + at), even, b0);
    b1 = madd(v128.load(q1 + at, 16), odd, b1);
    c0 = madd(v128.load(q2 + at), even, c0);
    c1 = madd(v128.load(q2 + at, 16), odd, c1);
    d0 = madd(v128.load(q3 + at), even, d0);
    d1 = madd(v128.load(q3 + at, 16), odd, d1);
  }
  return sumLanes4(f32x4.add(a0, a1), f32x4.add(b0, b1), f32x4.add(c0, c1), f32x4.add(d0, d1));
}

/** Softmax of `count` scores without the division. Returns the sum of the exponentials. */
export function exponentials(scores: usize, count: i32, scale: f32): f32 {
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
