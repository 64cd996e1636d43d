// Weighted sums of values, in time order: the same for one query or four.
//
// Sums of bf16 values have the even values of every 8 first, until joinEvens reorders them.
import { load4, madd, store4 } from '../shared/math';
import { evens, odds } from './keys';

/** y += weighted sum of `count` values, `stride` bytes apart. */
export function addValues(
  isBf16: bool,
  weights: usize,
  v: usize,
  stride: usize,
  count: i32,
  y: usize,
  dim: i32,
): void {
  let p: i32 = 0;
  for (; p + 32 <= dim; p += 32) {
    const to = y + ((<usize>p) << 2);
    if (isBf16) add32Bf16(weights, v + ((<usize>p) << 1), stride, count, to);
    else add32F32(weights, v + ((<usize>p) << 2), stride, count, to);
  }
  const last = weights + ((<usize>count) << 2);
  for (; isBf16 && p < dim; p += 8) {
    add8Bf16(weights, last, v + ((<usize>p) << 1), stride, y + ((<usize>p) << 2));
  }
  if (p === dim) return;
  let at = v + ((<usize>p) << 2);
  for (let w = weights; w < last; w += 4) {
    addScaled(v128.load32_splat(w), at, y + ((<usize>p) << 2), dim - p);
    at += stride;
  }
}

function add32F32(weights: usize, at: usize, stride: usize, count: i32, to: usize): void {
  const last = weights + ((<usize>count) << 2);
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

function add32Bf16(weights: usize, at: usize, stride: usize, count: i32, to: usize): void {
  const last = weights + ((<usize>count) << 2);
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
    let v = v128.load(at);
    y0 = madd(evens(v), weight, y0);
    y1 = madd(odds(v), weight, y1);
    v = v128.load(at, 16);
    y2 = madd(evens(v), weight, y2);
    y3 = madd(odds(v), weight, y3);
    v = v128.load(at, 32);
    y4 = madd(evens(v), weight, y4);
    y5 = madd(odds(v), weight, y5);
    v = v128.load(at, 48);
    y6 = madd(evens(v), weight, y6);
    y7 = madd(odds(v), weight, y7);
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

function add8Bf16(weights: usize, last: usize, at: usize, stride: usize, to: usize): void {
  let even = v128.load(to);
  let odd = v128.load(to, 16);
  for (let w = weights; w < last; w += 4) {
    const weight = v128.load32_splat(w);
    const v = v128.load(at);
    even = madd(evens(v), weight, even);
    odd = madd(odds(v), weight, odd);
    at += stride;
  }
  v128.store(to, even);
  v128.store(to, odd, 16);
}

/** y += weight v */
function addScaled(weight: v128, v: usize, y: usize, dim: i32): void {
  for (let p: i32 = 0; p < dim; p += 4) {
    const at = (<usize>p) << 2;
    store4(y + at, madd(load4(v + at, dim - p), weight, load4(y + at, dim - p)), dim - p);
  }
}

/** addValues for four queries: four rows of weights and of y. */
export function addValuesOfFour(
  isBf16: bool,
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
    const to = y + ((<usize>p) << 2);
    const at = v + ((<usize>p) << (isBf16 ? 1 : 2));
    if (isBf16) fourSums8Bf16(weights, last, weightStride, at, stride, to, yStride);
    else fourSums8F32(weights, last, weightStride, at, stride, to, yStride);
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

function fourSums8F32(
  weights: usize,
  last: usize,
  weightStride: usize,
  at: usize,
  stride: usize,
  y0: usize,
  yStride: usize,
): void {
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

function fourSums8Bf16(
  weights: usize,
  last: usize,
  weightStride: usize,
  at: usize,
  stride: usize,
  y0: usize,
  yStride: usize,
): void {
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
  for (let w = weights; w < last; w += 4) {
    const v = v128.load(at);
    const even = evens(v);
    const odd = odds(v);
    at += stride;
    let t = v128.load32_splat(w);
    a0 = madd(even, t, a0);
    a1 = madd(odd, t, a1);
    t = v128.load32_splat(w + weightStride);
    b0 = madd(even, t, b0);
    b1 = madd(odd, t, b1);
    t = v128.load32_splat(w + (weightStride << 1));
    c0 = madd(even, t, c0);
    c1 = madd(odd, t, c1);
    t = v128.load32_splat(w + weightStride * 3);
    d0 = madd(even, t, d0);
    d1 = madd(odd, t, d1);
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

/** y / by, the sums of a head at the end. */
export function divide(y: usize, dim: i32, by: f32): void {
  const d = f32x4.splat(by);
  for (let p: i32 = 0; p < dim; p += 4) {
    const at = y + ((<usize>p) << 2);
    store4(at, f32x4.div(load4(at, dim - p), d), dim - p);
  }
}
