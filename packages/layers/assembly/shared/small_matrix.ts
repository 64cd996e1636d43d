// Matmuls of matrices of a few dozen rows in the cache, and their transposes.
//
// Rows and columns are padded to multiples of four; strides are in bytes.
import { load4, madd } from './math';

/** The part of a product that is computed, or the nonzero part of its operands, in blocks of four rows. */
export enum Part {
  Whole,
  /** Columns up to the diagonal of the product. */
  LowerColumns,
  /** Terms from the diagonal on: a[k] is zero at rows after k. */
  FromDiagonal,
  /** Terms up to the diagonal: a[k] is zero at rows before k. */
  ToDiagonal,
}

/**
 * c (rows, columns) = a^T b, or c += if `fresh` is false, for a (count, rows) and b (count, columns). Each
 * value is one chain of multiply-adds in the order of k.
 */
export function product(
  a: usize,
  aStride: usize,
  b: usize,
  bStride: usize,
  c: usize,
  cStride: usize,
  rows: i32,
  columns: i32,
  count: i32,
  part: Part,
  fresh: bool,
): void {
  for (let r: i32 = 0; r < rows; r += 4) {
    const first = part === Part.FromDiagonal ? r : 0;
    const last = part === Part.ToDiagonal ? min(r + 4, count) : count;
    const width = part === Part.LowerColumns ? min(r + 4, columns) : columns;
    const ar = a + ((<usize>r) << 2) + <usize>first * aStride;
    const end = a + ((<usize>r) << 2) + <usize>last * aStride;
    const br = b + <usize>first * bStride;
    const cr = c + <usize>r * cStride;
    let n: i32 = 0;
    for (; n + 8 <= width; n += 8) {
      const at = (<usize>n) << 2;
      tile4x8(ar, end, aStride, br + at, bStride, cr + at, cStride, fresh);
    }
    if (n < width) {
      const at = (<usize>n) << 2;
      tile4x4(ar, end, aStride, br + at, bStride, cr + at, cStride, fresh);
    }
  }
}

function tile4x8(
  a: usize,
  end: usize,
  aStride: usize,
  b: usize,
  bStride: usize,
  c: usize,
  cStride: usize,
  fresh: bool,
): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let d0 = a0;
  let d1 = a0;
  const r1 = c + cStride;
  const r2 = r1 + cStride;
  const r3 = r2 + cStride;
  if (!fresh) {
    a0 = v128.load(c);
    a1 = v128.load(c, 16);
    b0 = v128.load(r1);
    b1 = v128.load(r1, 16);
    c0 = v128.load(r2);
    c1 = v128.load(r2, 16);
    d0 = v128.load(r3);
    d1 = v128.load(r3, 16);
  }
  while (a < end) {
    const w0 = v128.load(b);
    const w1 = v128.load(b, 16);
    let t = v128.load32_splat(a);
    a0 = madd(w0, t, a0);
    a1 = madd(w1, t, a1);
    t = v128.load32_splat(a, 4);
    b0 = madd(w0, t, b0);
    b1 = madd(w1, t, b1);
    t = v128.load32_splat(a, 8);
    c0 = madd(w0, t, c0);
    c1 = madd(w1, t, c1);
    t = v128.load32_splat(a, 12);
    d0 = madd(w0, t, d0);
    d1 = madd(w1, t, d1);
    a += aStride;
    b += bStride;
  }
  v128.store(c, a0);
  v128.store(c, a1, 16);
  v128.store(r1, b0);
  v128.store(r1, b1, 16);
  v128.store(r2, c0);
  v128.store(r2, c1, 16);
  v128.store(r3, d0);
  v128.store(r3, d1, 16);
}

function tile4x4(
  a: usize,
  end: usize,
  aStride: usize,
  b: usize,
  bStride: usize,
  c: usize,
  cStride: usize,
  fresh: bool,
): void {
  let a0 = f32x4.splat(0);
  let b0 = a0;
  let c0 = a0;
  let d0 = a0;
  const r1 = c + cStride;
  const r2 = r1 + cStride;
  const r3 = r2 + cStride;
  if (!fresh) {
    a0 = v128.load(c);
    b0 = v128.load(r1);
    c0 = v128.load(r2);
    d0 = v128.load(r3);
  }
  while (a < end) {
    const w0 = v128.load(b);
    a0 = madd(w0, v128.load32_splat(a), a0);
    b0 = madd(w0, v128.load32_splat(a, 4), b0);
    c0 = madd(w0, v128.load32_splat(a, 8), c0);
    d0 = madd(w0, v128.load32_splat(a, 12), d0);
    a += aStride;
    b += bStride;
  }
  v128.store(c, a0);
  v128.store(r1, b0);
  v128.store(r2, c0);
  v128.store(r3, d0);
}

/**
 * to (columns, rows) = from (rows, columns) transposed, both sides padded with zeros to multiples of four;
 * row r is multiplied by factors[r] unless that is 0.
 */
export function transposed(
  from: usize,
  fromStride: usize,
  rows: i32,
  columns: i32,
  to: usize,
  toStride: usize,
  factors: usize,
): void {
  for (let r: i32 = 0; r < rows; r += 4) {
    const row = from + <usize>r * fromStride;
    const left = rows - r;
    let factor = f32x4.splat(1);
    if (factors !== 0) factor = v128.load(factors + ((<usize>r) << 2));
    for (let c: i32 = 0; c < columns; c += 4) {
      const at = row + ((<usize>c) << 2);
      const zero = f32x4.splat(0);
      const lanes = columns - c;
      const v0 = load4(at, lanes);
      const v1 = left > 1 ? load4(at + fromStride, lanes) : zero;
      const v2 = left > 2 ? load4(at + (fromStride << 1), lanes) : zero;
      const v3 = left > 3 ? load4(at + fromStride * 3, lanes) : zero;
      const a = v128.shuffle<i32>(v0, v1, 0, 4, 1, 5);
      const b = v128.shuffle<i32>(v0, v1, 2, 6, 3, 7);
      const p = v128.shuffle<i32>(v2, v3, 0, 4, 1, 5);
      const q = v128.shuffle<i32>(v2, v3, 2, 6, 3, 7);
      const out = to + <usize>c * toStride + ((<usize>r) << 2);
      v128.store(out, f32x4.mul(v128.shuffle<i64>(a, p, 0, 2), factor));
      v128.store(out + toStride, f32x4.mul(v128.shuffle<i64>(a, p, 1, 3), factor));
      v128.store(out + (toStride << 1), f32x4.mul(v128.shuffle<i64>(b, q, 0, 2), factor));
      v128.store(out + toStride * 3, f32x4.mul(v128.shuffle<i64>(b, q, 1, 3), factor));
    }
  }
}

/**
 * to (rows, columns padded to a multiple of four) = from, row r times factors[r] unless that is 0; padding
 * is zero.
 */
export function copied(
  from: usize,
  fromStride: usize,
  rows: i32,
  columns: i32,
  to: usize,
  toStride: usize,
  factors: usize,
): void {
  for (let r: i32 = 0; r < rows; r++) {
    let factor = f32x4.splat(1);
    if (factors !== 0) factor = v128.load32_splat(factors + ((<usize>r) << 2));
    const whole = (<usize>(columns & ~3)) << 2;
    for (let at: usize = 0; at < whole; at += 16) {
      v128.store(to + at, f32x4.mul(v128.load(from + at), factor));
    }
    const rest = columns & 3;
    if (rest !== 0) v128.store(to + whole, f32x4.mul(load4(from + whole, rest), factor));
    from += fromStride;
    to += toStride;
  }
}

/** to = from times the factor; `bytes` of whole vectors. They may be the same. */
export function scaled(from: usize, to: usize, bytes: usize, factor: f32): void {
  const f = f32x4.splat(factor);
  for (let at: usize = 0; at < bytes; at += 16) {
    v128.store(to + at, f32x4.mul(v128.load(from + at), f));
  }
}
