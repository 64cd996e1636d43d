// The gradient of attention without a ring: each query's weights are computed again.
import { exp4, int, load4, madd, num, ptr, store4, sumLanes } from './math';

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
        softmaxScores(q, ptr(args, 1) + keys, kStep, count, dim, scale, weights);
        let mean: f32 = 0;
        for (let j: i32 = 0; j < count; j++) {
          const o = (<usize>j) << 2;
          const d = dot(dy, ptr(args, 2) + keys + <usize>j * kStep, dim);
          store<f32>(dWeights + o, d);
          mean += d * load<f32>(weights + o);
        }
        const dq = ptr(args, 4) + at;
        memory.fill(dq, 0, (<usize>dim) << 2);
        for (let j: i32 = 0; j < count; j++) {
          const o = (<usize>j) << 2;
          const step = keys + <usize>j * kStep;
          const w = load<f32>(weights + o);
          const dScore = w * (load<f32>(dWeights + o) - mean) * scale;
          addScaled(f32x4.splat(w), dy, ptr(args, 6) + step, dim);
          addScaled(f32x4.splat(dScore), q, ptr(args, 5) + step, dim);
          addScaled(f32x4.splat(dScore), ptr(args, 1) + step, dq, dim);
        }
      }
    }
  }
}

function dot(a: usize, b: usize, dim: i32): f32 {
  let sum = f32x4.splat(0);
  for (let p: i32 = 0; p < dim; p += 4) {
    const at = (<usize>p) << 2;
    sum = madd(load4(a + at, dim - p), load4(b + at, dim - p), sum);
  }
  return sumLanes(sum);
}

/** y += weight x */
function addScaled(weight: v128, x: usize, y: usize, dim: i32): void {
  for (let p: i32 = 0; p < dim; p += 4) {
    const at = (<usize>p) << 2;
    store4(y + at, madd(load4(x + at, dim - p), weight, load4(y + at, dim - p)), dim - p);
  }
}

function softmaxScores(
  q: usize,
  k: usize,
  kStep: usize,
  count: i32,
  dim: i32,
  scale: f32,
  out: usize,
): void {
  let top: f32 = -Infinity;
  for (let j: i32 = 0; j < count; j++) {
    const score = dot(q, k + <usize>j * kStep, dim) * scale;
    store<f32>(out + ((<usize>j) << 2), score);
    top = max(top, score);
  }
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
