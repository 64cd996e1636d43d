// RMS norms, gated or not, row by row.
import { int, num, ptr } from '../shared/arguments';
import { load4, madd, silu4, store4, sumLanes } from '../shared/math';
import { NormArg } from './args';

/** A unit is a row. */
export function rmsNorm(args: usize, begin: i32, end: i32): void {
  const z = ptr(args, NormArg.z);
  const columns = int(args, NormArg.columns);
  const group = int(args, NormArg.groupSize);
  const gateFirst = z !== 0 && int(args, NormArg.normBeforeGate) === 0;
  for (let row = begin; row < end; row++) {
    const x = ptr(args, NormArg.x) + ((<usize>row * ptr(args, NormArg.xStride)) << 2);
    const zr = z + ((<usize>row * ptr(args, NormArg.zStride)) << 2);
    const y = ptr(args, NormArg.y) + ((<usize>row * ptr(args, NormArg.yStride)) << 2);
    for (let first: i32 = 0; first < columns; first += group) {
      const at = (<usize>first) << 2;
      let from = x + at;
      if (gateFirst) {
        gate(from, zr + at, y + at, group);
        from = y + at;
      }
      normalize(from, ptr(args, NormArg.weight) + at, y + at, group, num(args, NormArg.eps));
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
