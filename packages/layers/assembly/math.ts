// What the kernels share: fused multiply-add, sums of lanes, exp, erf, activations, short vectors.

/** a b + c; fused where the engine has relaxed SIMD. */
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** The sum of the lanes, always in the same order as sumLanes4. */
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

/** exp of each lane, within 2 units in the last place; below -87 the smallest normal number. */
export function exp4(x: v128): v128 {
  x = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-87.33)), f32x4.splat(88.37));
  const n = f32x4.nearest(f32x4.mul(x, f32x4.splat(<f32>Math.LOG2E)));
  let r = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375)));
  r = f32x4.add(r, f32x4.mul(n, f32x4.splat(2.1219444e-4)));
  let p = f32x4.splat(1.98756915e-4);
  p = madd(p, r, f32x4.splat(1.3981999507e-3));
  p = madd(p, r, f32x4.splat(8.3334519073e-3));
  p = madd(p, r, f32x4.splat(4.1665795894e-2));
  p = madd(p, r, f32x4.splat(1.6666665459e-1));
  p = madd(p, r, f32x4.splat(5.0000001201e-1));
  p = f32x4.add(madd(p, f32x4.mul(r, r), r), f32x4.splat(1));
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return f32x4.mul(p, power);
}

export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
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
  const one = f32x4.splat(1);
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))));
}

/** The error function within 3e-7 (Abramowitz and Stegun 7.1.26). */
export function erf4(x: v128): v128 {
  const a = f32x4.abs(x);
  const one = f32x4.splat(1);
  const t = f32x4.div(one, madd(f32x4.splat(0.3275911), a, one));
  let p = f32x4.splat(1.061405429);
  p = madd(p, t, f32x4.splat(-1.453152027));
  p = madd(p, t, f32x4.splat(1.421413741));
  p = madd(p, t, f32x4.splat(-0.284496736));
  p = madd(p, t, f32x4.splat(0.254829592));
  p = f32x4.mul(p, t);
  const y = f32x4.sub(one, f32x4.mul(p, exp4(f32x4.neg(f32x4.mul(a, a)))));
  const sign = i32x4.splat(0x80000000);
  return v128.or(v128.andnot(y, sign), v128.and(x, sign));
}

/** Activation `id` of ActivationId: linear, silu, gelu (exact). */
export function activate4(x: v128, id: i32): v128 {
  if (id === 1) return f32x4.mul(x, sigmoid4(x));
  if (id === 2) {
    const cdf = f32x4.add(erf4(f32x4.mul(x, f32x4.splat(0.70710678118654752))), f32x4.splat(1));
    return f32x4.mul(f32x4.mul(x, f32x4.splat(0.5)), cdf);
  }
  return x;
}

/** The derivative of activate4. */
export function activateGrad4(x: v128, id: i32): v128 {
  const one = f32x4.splat(1);
  if (id === 1) {
    const s = sigmoid4(x);
    return f32x4.mul(s, madd(x, f32x4.sub(one, s), one));
  }
  if (id === 2) {
    const cdf = f32x4.mul(
      f32x4.add(erf4(f32x4.mul(x, f32x4.splat(0.70710678118654752))), one),
      f32x4.splat(0.5),
    );
    const pdf = f32x4.mul(
      exp4(f32x4.mul(f32x4.mul(x, x), f32x4.splat(-0.5))),
      f32x4.splat(0.3989422804014327),
    );
    return madd(x, pdf, cdf);
  }
  return one;
}

/** The first min(count, 4) numbers from p, the other lanes 0. */
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

/** Word i of a job's arguments as a pointer or a size, an integer, a number. */
export function ptr(args: usize, i: usize): usize {
  return load<u32>(args + (i << 2));
}
export function int(args: usize, i: usize): i32 {
  return load<i32>(args + (i << 2));
}
export function num(args: usize, i: usize): f32 {
  return load<f32>(args + (i << 2));
}
