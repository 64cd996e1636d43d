// The gradient of attention without a ring: each query's weights are computed again.
import { exp4, int, load4, madd, num, ptr, store4, sumLanes, sumLanes4 } from './math';

/**
 * Words: q, k, v, dy, dq, dk (zeros), dv (zeros), length, heads, key heads, head dimension, window,
 * scale. All contiguous. A unit is a key head of a row: nobody else adds to its keys. Scratch: 2 length
 * numbers.
 */
export function attentionGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const length = int(args, 7);
  const heads = int(args, 8);
  const kvHeads = int(args, 9);
  const dim = int(args, 10);
  const window = int(args, 11);
  const scale = num(args, 12);
  const group = heads / kvHeads;
  const weights = scratch;
  const dWeights = scratch + ((<usize>((length + 3) & ~3)) << 2);
  const qStep = (<usize>(heads * dim)) << 2;
  const kStep = (<usize>(kvHeads * dim)) << 2;
  for (let unit = begin; unit < end; unit++) {
    const row = <usize>(unit / kvHeads) * <usize>length;
    const h = unit % kvHeads;
    const kv = row * kStep + ((<usize>(h * dim)) << 2);
    for (let r: i32 = 0; r < group; r++) {
      const own = row * qStep + ((<usize>((h * group + r) * dim)) << 2);
      for (let i: i32 = 0; i < length; i++) {
        const start = max(0, i + 1 - window);
        const count = i + 1 - start;
        const at = own + <usize>i * qStep;
        const keys = kv + <usize>start * kStep;
        const q = ptr(args, 0) + at;
        const dy = ptr(args, 3) + at;
        dots(q, ptr(args, 1) + keys, kStep, count, dim, scale, weights);
        softmax(weights, count);
        dots(dy, ptr(args, 2) + keys, kStep, count, dim, 1, dWeights);
        let mean: f32 = 0;
        for (let j: i32 = 0; j < count; j++) {
          const o = (<usize>j) << 2;
          mean += load<f32>(dWeights + o) * load<f32>(weights + o);
        }
        const dq = ptr(args, 4) + at;
        memory.fill(dq, 0, (<usize>dim) << 2);
        for (let j: i32 = 0; j < count; j++) {
          const o = (<usize>j) << 2;
          const step = keys + <usize>j * kStep;
          const w = load<f32>(weights + o);
          const dScore = w * (load<f32>(dWeights + o) - mean) * scale;
          const k = ptr(args, 1) + step;
          addKey(w, dScore, q, k, dy, dq, ptr(args, 5) + step, ptr(args, 6) + step, dim);
        }
      }
    }
  }
}

/** out[j] = scale q k[j], four keys at a time. */
function dots(
  q: usize,
  k: usize,
  kStep: usize,
  count: i32,
  dim: i32,
  scale: f32,
  out: usize,
): void {
  const factor = f32x4.splat(scale);
  let j: i32 = 0;
  for (; j + 4 <= count; j += 4) {
    const sums = fourDots(q, k, kStep, dim);
    v128.store(out + ((<usize>j) << 2), f32x4.mul(sums, factor));
    k += kStep << 2;
  }
  for (; j < count; j++) {
    store<f32>(out + ((<usize>j) << 2), dot(q, k, dim) * scale);
    k += kStep;
  }
}

function fourDots(q: usize, k: usize, kStep: usize, dim: i32): v128 {
  const k1 = k + kStep;
  const k2 = k1 + kStep;
  const k3 = k2 + kStep;
  let s0 = f32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  let p: i32 = 0;
  for (; p + 4 <= dim; p += 4) {
    const at = (<usize>p) << 2;
    const v = v128.load(q + at);
    s0 = madd(v128.load(k + at), v, s0);
    s1 = madd(v128.load(k1 + at), v, s1);
    s2 = madd(v128.load(k2 + at), v, s2);
    s3 = madd(v128.load(k3 + at), v, s3);
  }
  if (p < dim) {
    const at = (<usize>p) << 2;
    const v = load4(q + at, dim - p);
    s0 = madd(load4(k + at, dim - p), v, s0);
    s1 = madd(load4(k1 + at, dim - p), v, s1);
    s2 = madd(load4(k2 + at, dim - p), v, s2);
    s3 = madd(load4(k3 + at, dim - p), v, s3);
  }
  return sumLanes4(s0, s1, s2, s3);
}

function dot(a: usize, b: usize, dim: i32): f32 {
  let sum = f32x4.splat(0);
  for (let p: i32 = 0; p < dim; p += 4) {
    const at = (<usize>p) << 2;
    sum = madd(load4(a + at, dim - p), load4(b + at, dim - p), sum);
  }
  return sumLanes(sum);
}

/** dv += weight dy, dk += dScore q, dq += dScore k */
function addKey(
  weight: f32,
  dScore: f32,
  q: usize,
  k: usize,
  dy: usize,
  dq: usize,
  dk: usize,
  dv: usize,
  dim: i32,
): void {
  const w = f32x4.splat(weight);
  const d = f32x4.splat(dScore);
  let p: i32 = 0;
  for (; p + 4 <= dim; p += 4) {
    const at = (<usize>p) << 2;
    v128.store(dv + at, madd(v128.load(dy + at), w, v128.load(dv + at)));
    v128.store(dk + at, madd(v128.load(q + at), d, v128.load(dk + at)));
    v128.store(dq + at, madd(v128.load(k + at), d, v128.load(dq + at)));
  }
  if (p < dim) {
    const at = (<usize>p) << 2;
    const lanes = dim - p;
    store4(dv + at, madd(load4(dy + at, lanes), w, load4(dv + at, lanes)), lanes);
    store4(dk + at, madd(load4(q + at, lanes), d, load4(dk + at, lanes)), lanes);
    store4(dq + at, madd(load4(k + at, lanes), d, load4(dq + at, lanes)), lanes);
  }
}

/** Scores to weights, in place. */
function softmax(out: usize, count: i32): void {
  let top: f32 = -Infinity;
  for (let j: i32 = 0; j < count; j++) top = max(top, load<f32>(out + ((<usize>j) << 2)));
  let sum = f32x4.splat(0);
  for (let j: i32 = 0; j < count; j += 4) {
    const at = out + ((<usize>j) << 2);
    store4(at, exp4(f32x4.sub(load4(at, count - j), f32x4.splat(top))), count - j);
    sum = f32x4.add(sum, load4(at, count - j));
  }
  const inverse = f32x4.splat(<f32>1 / sumLanes(sum));
  for (let j: i32 = 0; j < count; j += 4) {
    const at = out + ((<usize>j) << 2);
    store4(at, f32x4.mul(load4(at, count - j), inverse), count - j);
  }
}
