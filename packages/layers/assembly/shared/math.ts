// Vector math that the kernels share: fused multiply-add, lane sums, exp, erf, activations, short vectors.
import { ActivationId } from '../gated_activation/args';

/** a b + c; fused where the engine has relaxed SIMD. */
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** The sum of the lanes, in the same order as sumLanes4. */
export function sumLanes(a: v128): f32 {
  return (
    f32x4.extract_lane(a, 0) +
    f32x4.extract_lane(a, 1) +
    (f32x4.extract_lane(a, 2) + f32x4.extract_lane(a, 3))
  );
}

/** [sumLanes(a), sumLanes(b), sumLanes(c), sumLanes(d)] */
export function sumLanes4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab0 = v128.shuffle<i32>(a, b, 0, 2, 4, 6);
  const ab1 = v128.shuffle<i32>(a, b, 1, 3, 5, 7);
  const cd0 = v128.shuffle<i32>(c, d, 0, 2, 4, 6);
  const cd1 = v128.shuffle<i32>(c, d, 1, 3, 5, 7);
  const ab = f32x4.add(ab0, ab1); // a01 a23 b01 b23
  const cd = f32x4.add(cd0, cd1);
  return f32x4.add(v128.shuffle<i32>(ab, cd, 0, 2, 4, 6), v128.shuffle<i32>(ab, cd, 1, 3, 5, 7));
}

/** Constants that are read from memory, like those of constants.ts. */
const C = memory.data<f32>([
  -87.33, 88.37, 1.44269504, 12582912, -0.693359375, 2.1219444e-4, 1.98756915e-4, 1.3981999507e-3,
  8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5, 1, 0.3275911, 1.061405429, -1.453152027,
  1.421413741, -0.284496736, 0.254829592, 0.70710678118654752, -0.5, 0.3989422804014327,
]);

/** exp of each lane, within 2 units in the last place; below -87 the smallest normal number. */
export function exp4(x: v128): v128 {
  x = f32x4.pmin(f32x4.pmax(x, v128.load32_splat(C)), v128.load32_splat(C + 4));
  // Adding 1.5 * 2^23 rounds to an integer, which is then in the lowest bits.
  const magic = v128.load32_splat(C + 12);
  const shifted = f32x4.add(f32x4.mul(x, v128.load32_splat(C + 8)), magic);
  const n = f32x4.sub(shifted, magic);
  let r = madd(n, v128.load32_splat(C + 16), x);
  r = madd(n, v128.load32_splat(C + 20), r);
  let p = v128.load32_splat(C + 24);
  p = madd(p, r, v128.load32_splat(C + 28));
  p = madd(p, r, v128.load32_splat(C + 32));
  p = madd(p, r, v128.load32_splat(C + 36));
  p = madd(p, r, v128.load32_splat(C + 40));
  p = madd(p, r, v128.load32_splat(C + 44));
  const one = v128.load32_splat(C + 48);
  p = f32x4.add(madd(p, f32x4.mul(r, r), r), one);
  return f32x4.mul(p, i32x4.add(i32x4.shl(shifted, 23), one));
}

/** log(1 + u) for u in [0, 1], by the series of 2 atanh(u / (2 + u)). */
export function log1p4(u: v128): v128 {
  const z = f32x4.div(u, f32x4.add(u, f32x4.splat(2)));
  const q = f32x4.mul(z, z);
  let p = f32x4.splat(1.0 / 17.0);
  p = madd(p, q, f32x4.splat(1.0 / 15.0));
  p = madd(p, q, f32x4.splat(1.0 / 13.0));
  p = madd(p, q, f32x4.splat(1.0 / 11.0));
  p = madd(p, q, f32x4.splat(1.0 / 9.0));
  p = madd(p, q, f32x4.splat(1.0 / 7.0));
  p = madd(p, q, f32x4.splat(1.0 / 5.0));
  p = madd(p, q, f32x4.splat(1.0 / 3.0));
  const z2 = f32x4.add(z, z);
  return madd(f32x4.mul(p, q), z2, z2);
}

/** log(1 + exp(x)) */
export function softplus4(x: v128): v128 {
  const positive = f32x4.max(x, f32x4.splat(0));
  return f32x4.add(positive, log1p4(exp4(f32x4.neg(f32x4.abs(x)))));
}

export function sigmoid4(x: v128): v128 {
  const one = v128.load32_splat(C + 48);
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.sub(f32x4.splat(0), x))));
}

/** The error function within 3e-7 (Abramowitz and Stegun 7.1.26). */
export function erf4(x: v128): v128 {
  return erfBy4(x, exp4(f32x4.mul(f32x4.neg(x), x)));
}

/** erf4 of x where exp(-x^2) is e. */
function erfBy4(x: v128, e: v128): v128 {
  const a = f32x4.abs(x);
  const one = v128.load32_splat(C + 48);
  const t = f32x4.div(one, madd(v128.load32_splat(C + 52), a, one));
  let p = v128.load32_splat(C + 56);
  p = madd(p, t, v128.load32_splat(C + 60));
  p = madd(p, t, v128.load32_splat(C + 64));
  p = madd(p, t, v128.load32_splat(C + 68));
  p = madd(p, t, v128.load32_splat(C + 72));
  p = f32x4.mul(p, t);
  const y = f32x4.sub(one, f32x4.mul(p, e));
  const sign = i32x4.splat(0x80000000);
  return v128.or(v128.andnot(y, sign), v128.and(x, sign));
}

export function silu4(x: v128): v128 {
  return f32x4.mul(x, sigmoid4(x));
}

/** The derivative of silu, given its sigmoid s. */
export function siluGrad4(x: v128, s: v128): v128 {
  return f32x4.mul(s, madd(x, f32x4.sub(v128.load32_splat(C + 48), s), v128.load32_splat(C + 48)));
}

/** Activation `id` of ActivationId. Gelu is the exact one. */
export function activate4(x: v128, id: i32): v128 {
  if (id === ActivationId.Silu) return silu4(x);
  if (id === ActivationId.Gelu) return f32x4.mul(x, normalCdf4(x));
  if (id === ActivationId.Relu2) {
    const positive = f32x4.max(x, f32x4.splat(0));
    return f32x4.mul(positive, positive);
  }
  if (id !== ActivationId.Linear) unreachable();
  return x;
}

/** The derivative of activate4. */
export function activateGrad4(x: v128, id: i32): v128 {
  if (id === ActivationId.Silu) return siluGrad4(x, sigmoid4(x));
  if (id === ActivationId.Gelu) {
    // The exponential in the distribution function is also that of the density.
    const e = exp4(f32x4.mul(f32x4.mul(x, x), v128.load32_splat(C + 80)));
    const half = v128.load32_splat(C + 44);
    const erf = erfBy4(f32x4.mul(x, v128.load32_splat(C + 76)), e);
    return madd(x, f32x4.mul(e, v128.load32_splat(C + 84)), madd(erf, half, half));
  }
  if (id === ActivationId.Relu2) {
    const positive = f32x4.max(x, f32x4.splat(0));
    return f32x4.add(positive, positive);
  }
  if (id !== ActivationId.Linear) unreachable();
  return v128.load32_splat(C + 48);
}

/** The distribution function of the normal distribution. */
function normalCdf4(x: v128): v128 {
  const half = v128.load32_splat(C + 44);
  return madd(erf4(f32x4.mul(x, v128.load32_splat(C + 76))), half, half);
}

/** The first min(count, 4) values from p; the other lanes are 0. */
export function load4(p: usize, count: i32): v128 {
  if (count >= 4) return v128.load(p);
  let v = f32x4.splat(0);
  if (count > 0) v = f32x4.replace_lane(v, 0, load<f32>(p));
  if (count > 1) v = f32x4.replace_lane(v, 1, load<f32>(p, 4));
  if (count > 2) v = f32x4.replace_lane(v, 2, load<f32>(p, 8));
  return v;
}

/** Stores the first min(count, 4) lanes. */
export function store4(p: usize, v: v128, count: i32): void {
  if (count >= 4) {
    v128.store(p, v);
    return;
  }
  if (count > 0) store<f32>(p, f32x4.extract_lane(v, 0));
  if (count > 1) store<f32>(p, f32x4.extract_lane(v, 1), 4);
  if (count > 2) store<f32>(p, f32x4.extract_lane(v, 2), 8);
}
