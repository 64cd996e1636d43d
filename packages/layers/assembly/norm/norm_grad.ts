// Gradients of the RMS norms.
import { int, num, ptr } from '../shared/arguments';
import { load4, madd, sigmoid4, siluGrad4, store4, sumLanes } from '../shared/math';
import { NormGradArg } from './args';
import { inverseRms } from './norm';

/** Rows per unit, which share a partial dweight. */
const ROWS: i32 = 16;

/** All tensors are contiguous. A unit is 16 rows. Scratch: 2 groups. */
export function rmsNormGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const z = ptr(args, NormGradArg.z);
  const columns = int(args, NormGradArg.columns);
  const group = int(args, NormGradArg.groupSize);
  const gateFirst = z !== 0 && int(args, NormGradArg.normBeforeGate) === 0;
  const last = min(end * ROWS, int(args, NormGradArg.rows));
  for (let row = begin * ROWS; row < last; row++) {
    const parts = ptr(args, NormGradArg.dweight) + <usize>(row / ROWS) * ((<usize>columns) << 2);
    if (row % ROWS === 0) memory.fill(parts, 0, (<usize>columns) << 2);
    for (let first: i32 = 0; first < columns; first += group) {
      const at = (<usize>row * <usize>columns + <usize>first) << 2;
      const weight = ptr(args, NormGradArg.weight) + ((<usize>first) << 2);
      const x = ptr(args, NormGradArg.x) + at;
      const dy = ptr(args, NormGradArg.dy) + at;
      const dx = ptr(args, NormGradArg.dx) + at;
      const part = parts + ((<usize>first) << 2);
      if (z === 0) {
        normGrad(x, weight, dy, dx, part, group, num(args, NormGradArg.eps));
      } else if (gateFirst) {
        gatedBefore(
          x,
          z + at,
          weight,
          dy,
          dx,
          ptr(args, NormGradArg.dz) + at,
          part,
          group,
          num(args, NormGradArg.eps),
          scratch,
        );
      } else {
        gatedAfter(
          x,
          z + at,
          weight,
          dy,
          dx,
          ptr(args, NormGradArg.dz) + at,
          part,
          group,
          num(args, NormGradArg.eps),
          scratch,
        );
      }
    }
  }
}

/** With n = x / rms: dx = (g - n mean(g n)) / rms, g = dy weight; part += dy n. */
function normGrad(
  x: usize,
  weight: usize,
  dy: usize,
  dx: usize,
  part: usize,
  count: i32,
  eps: f32,
): void {
  const inverse = f32x4.splat(inverseRms(x, count, eps));
  const whole = (<usize>(count & ~3)) << 2;
  const rest = count & 3;
  let dots = f32x4.splat(0);
  for (let at: usize = 0; at < whole; at += 16) {
    const p = f32x4.mul(v128.load(dy + at), f32x4.mul(v128.load(x + at), inverse));
    v128.store(part + at, f32x4.add(v128.load(part + at), p));
    dots = madd(p, v128.load(weight + at), dots);
  }
  if (rest !== 0) {
    const p = f32x4.mul(load4(dy + whole, rest), f32x4.mul(load4(x + whole, rest), inverse));
    store4(part + whole, f32x4.add(load4(part + whole, rest), p), rest);
    dots = madd(p, load4(weight + whole, rest), dots);
  }
  const mean = f32x4.splat(sumLanes(dots) / <f32>count);
  for (let at: usize = 0; at < whole; at += 16) {
    const n = f32x4.mul(v128.load(x + at), inverse);
    const g = f32x4.mul(v128.load(dy + at), v128.load(weight + at));
    v128.store(dx + at, f32x4.mul(f32x4.sub(g, f32x4.mul(n, mean)), inverse));
  }
  if (rest !== 0) {
    const n = f32x4.mul(load4(x + whole, rest), inverse);
    const g = f32x4.mul(load4(dy + whole, rest), load4(weight + whole, rest));
    store4(dx + whole, f32x4.mul(f32x4.sub(g, f32x4.mul(n, mean)), inverse), rest);
  }
}

/** y = norm(x silu(z)). Between the passes dx stores silu(z), and dz its derivative times x. */
function gatedBefore(
  x: usize,
  z: usize,
  weight: usize,
  dy: usize,
  dx: usize,
  dz: usize,
  part: usize,
  count: i32,
  eps: f32,
  scratch: usize,
): void {
  const gated = scratch;
  const dGated = scratch + ((<usize>((count + 3) & ~3)) << 2);
  const whole = (<usize>(count & ~3)) << 2;
  const rest = count & 3;
  for (let at: usize = 0; at < whole; at += 16) {
    const zi = v128.load(z + at);
    const xi = v128.load(x + at);
    const s = sigmoid4(zi);
    const gate = f32x4.mul(zi, s);
    v128.store(gated + at, f32x4.mul(xi, gate));
    v128.store(dx + at, gate);
    v128.store(dz + at, f32x4.mul(xi, siluGrad4(zi, s)));
  }
  if (rest !== 0) {
    const zi = load4(z + whole, rest);
    const xi = load4(x + whole, rest);
    const s = sigmoid4(zi);
    const gate = f32x4.mul(zi, s);
    store4(gated + whole, f32x4.mul(xi, gate), rest);
    store4(dx + whole, gate, rest);
    store4(dz + whole, f32x4.mul(xi, siluGrad4(zi, s)), rest);
  }
  normGrad(gated, weight, dy, dGated, part, count, eps);
  for (let at: usize = 0; at < whole; at += 16) {
    const d = v128.load(dGated + at);
    v128.store(dx + at, f32x4.mul(d, v128.load(dx + at)));
    v128.store(dz + at, f32x4.mul(d, v128.load(dz + at)));
  }
  if (rest !== 0) {
    const d = load4(dGated + whole, rest);
    store4(dx + whole, f32x4.mul(d, load4(dx + whole, rest)), rest);
    store4(dz + whole, f32x4.mul(d, load4(dz + whole, rest)), rest);
  }
}

/** y = norm(x) silu(z) */
function gatedAfter(
  x: usize,
  z: usize,
  weight: usize,
  dy: usize,
  dx: usize,
  dz: usize,
  part: usize,
  count: i32,
  eps: f32,
  scratch: usize,
): void {
  const inverse = f32x4.splat(inverseRms(x, count, eps));
  for (let i: i32 = 0; i < count; i += 4) {
    const at = (<usize>i) << 2;
    const zi = load4(z + at, count - i);
    const d = load4(dy + at, count - i);
    const n = f32x4.mul(load4(x + at, count - i), inverse);
    const normed = f32x4.mul(n, load4(weight + at, count - i));
    const s = sigmoid4(zi);
    store4(dz + at, f32x4.mul(f32x4.mul(d, normed), siluGrad4(zi, s)), count - i);
    store4(scratch + at, f32x4.mul(d, f32x4.mul(zi, s)), count - i);
  }
  normGrad(x, weight, scratch, dx, part, count, eps);
}
