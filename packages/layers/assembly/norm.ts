// RMS norms, gated or not, and gated activations, row by row.
import { activate4, int, load4, madd, num, ptr, silu4, store4, sumLanes } from './math';

/**
 * Words: x, its stride, z (0: none), its stride, weight, y, its stride, columns, group size, eps,
 * 1 for the norm before the gate. A unit is a row.
 */
export function rmsNorm(args: usize, begin: i32, end: i32): void {
  const z = ptr(args, 2);
  const columns = int(args, 7);
  const group = int(args, 8);
  const gateFirst = z !== 0 && int(args, 10) === 0;
  for (let row = begin; row < end; row++) {
    const x = ptr(args, 0) + ((<usize>row * ptr(args, 1)) << 2);
    const zr = z + ((<usize>row * ptr(args, 3)) << 2);
    const y = ptr(args, 5) + ((<usize>row * ptr(args, 6)) << 2);
    for (let first: i32 = 0; first < columns; first += group) {
      const at = (<usize>first) << 2;
      let from = x + at;
      if (gateFirst) {
        gate(from, zr + at, y + at, group);
        from = y + at;
      }
      normalize(from, ptr(args, 4) + at, y + at, group, num(args, 9));
      if (z !== 0 && !gateFirst) gate(y + at, zr + at, y + at, group);
    }
  }
}

/** y = x silu(z) */
export function gate(x: usize, z: usize, y: usize, count: i32): void {
  const whole = (<usize>(count & ~3)) << 2;
  let at: usize = 0;
  for (; at + 32 <= whole; at += 32) {
    const a = gated4(v128.load(x + at), v128.load(z + at));
    const b = gated4(v128.load(x + at, 16), v128.load(z + at, 16));
    v128.store(y + at, a);
    v128.store(y + at, b, 16);
  }
  if (at < whole) v128.store(y + at, gated4(v128.load(x + at), v128.load(z + at)));
  const rest = count & 3;
  if (rest !== 0) store4(y + whole, gated4(load4(x + whole, rest), load4(z + whole, rest)), rest);
}

function gated4(x: v128, z: v128): v128 {
  return f32x4.mul(x, silu4(z));
}

/** 1 / sqrt(mean(x^2) + eps) */
export function inverseRms(x: usize, count: i32, eps: f32): f32 {
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let i: i32 = 0;
  for (; i + 8 <= count; i += 8) {
    const a = v128.load(x + ((<usize>i) << 2));
    const b = v128.load(x + ((<usize>i) << 2), 16);
    s0 = madd(a, a, s0);
    s1 = madd(b, b, s1);
  }
  for (; i < count; i += 4) {
    const a = load4(x + ((<usize>i) << 2), count - i);
    s0 = madd(a, a, s0);
  }
  return <f32>1 / sqrt<f32>(sumLanes(f32x4.add(s0, s1)) / <f32>count + eps);
}

function normalize(x: usize, weight: usize, y: usize, count: i32, eps: f32): void {
  const inverse = f32x4.splat(inverseRms(x, count, eps));
  const whole = (<usize>(count & ~3)) << 2;
  for (let at: usize = 0; at < whole; at += 16) {
    const n = f32x4.mul(v128.load(x + at), inverse);
    v128.store(y + at, f32x4.mul(n, v128.load(weight + at)));
  }
  const rest = count & 3;
  if (rest !== 0) {
    const n = f32x4.mul(load4(x + whole, rest), inverse);
    store4(y + whole, f32x4.mul(n, load4(weight + whole, rest)), rest);
  }
}

/** Columns of a unit of gatedActivation. */
const SPAN: i32 = 1024;

/**
 * y = activation(x) [* multiplier]. Words: x, its stride, multiplier (0: none), its stride, y, its
 * stride, columns, activation. A unit is a row's span of 1024 columns.
 */
export function gatedActivation(args: usize, begin: i32, end: i32): void {
  const columns = int(args, 6);
  const spans = (columns + SPAN - 1) / SPAN;
  const multiplier = ptr(args, 2);
  for (let unit = begin; unit < end; unit++) {
    const row = <usize>(unit / spans);
    const first = (unit % spans) * SPAN;
    const last = min(first + SPAN, columns);
    const x = ptr(args, 0) + ((row * ptr(args, 1)) << 2);
    const m = multiplier + ((row * ptr(args, 3)) << 2);
    const y = ptr(args, 4) + ((row * ptr(args, 5)) << 2);
    const activation = int(args, 7);
    let i = first;
    for (; i + 4 <= last; i += 4) {
      const at = (<usize>i) << 2;
      let v = activate4(v128.load(x + at), activation);
      if (multiplier !== 0) v = f32x4.mul(v, v128.load(m + at));
      v128.store(y + at, v);
    }
    if (i < last) {
      const at = (<usize>i) << 2;
      let v = activate4(load4(x + at, last - i), activation);
      if (multiplier !== 0) v = f32x4.mul(v, load4(m + at, last - i));
      store4(y + at, v, last - i);
    }
  }
}
