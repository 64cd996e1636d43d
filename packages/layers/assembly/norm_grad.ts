// Gradients of the RMS norms and of the gated activation.
import {
  activate4,
  activateGrad4,
  int,
  load4,
  madd,
  num,
  ptr,
  sigmoid4,
  siluGrad4,
  store4,
  sumLanes,
} from './math';
import { inverseRms } from './norm';

/** Rows of a unit, which share a part of dweight. */
const ROWS: i32 = 16;

/**
 * Words: x, z (0: none), weight, dy, dx, dz, parts of dweight a unit, columns, group size, eps, 1 for the
 * norm before the gate, rows. All contiguous. A unit is 16 rows. Scratch: 2 groups.
 */
export function rmsNormGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const z = ptr(args, 1);
  const columns = int(args, 7);
  const group = int(args, 8);
  const gateFirst = z !== 0 && int(args, 10) === 0;
  const last = min(end * ROWS, int(args, 11));
  for (let row = begin * ROWS; row < last; row++) {
    const parts = ptr(args, 6) + <usize>(row / ROWS) * ((<usize>columns) << 2);
    if (row % ROWS === 0) memory.fill(parts, 0, (<usize>columns) << 2);
    for (let first: i32 = 0; first < columns; first += group) {
      const at = (<usize>row * <usize>columns + <usize>first) << 2;
      const weight = ptr(args, 2) + ((<usize>first) << 2);
      const x = ptr(args, 0) + at;
      const dy = ptr(args, 3) + at;
      const dx = ptr(args, 4) + at;
      const part = parts + ((<usize>first) << 2);
      if (z === 0) {
        normGrad(x, weight, dy, dx, part, group, num(args, 9));
      } else if (gateFirst) {
        gatedBefore(
          x,
          z + at,
          weight,
          dy,
          dx,
          ptr(args, 5) + at,
          part,
          group,
          num(args, 9),
          scratch,
        );
      } else {
        gatedAfter(
          x,
          z + at,
          weight,
          dy,
          dx,
          ptr(args, 5) + at,
          part,
          group,
          num(args, 9),
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

/** y = norm(x silu(z)). Between the passes dx holds silu(z), and dz its derivative times x. */
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

/**
 * Words: x, multiplier (0: none), dy, dx, dmultiplier, size, activation. A unit is 1024 numbers.
 */
export function gatedActivationGrad(args: usize, begin: i32, end: i32): void {
  const last = min(end << 10, int(args, 5));
  const multiplier = ptr(args, 1);
  const activation = int(args, 6);
  let i = begin << 10;
  if (multiplier === 0) {
    for (; i + 4 <= last; i += 4) {
      const at = (<usize>i) << 2;
      const d = v128.load(ptr(args, 2) + at);
      const x = v128.load(ptr(args, 0) + at);
      v128.store(ptr(args, 3) + at, f32x4.mul(d, activateGrad4(x, activation)));
    }
  }
  for (; i < last; i += 4) {
    const at = (<usize>i) << 2;
    const lanes = last - i;
    const x = load4(ptr(args, 0) + at, lanes);
    let d = load4(ptr(args, 2) + at, lanes);
    if (multiplier !== 0) {
      store4(ptr(args, 4) + at, f32x4.mul(d, activate4(x, activation)), lanes);
      d = f32x4.mul(d, load4(multiplier + at, lanes));
    }
    store4(ptr(args, 3) + at, f32x4.mul(d, activateGrad4(x, activation)), lanes);
  }
}
