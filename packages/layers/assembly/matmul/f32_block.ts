// Matmuls with many rows by f32 weights: six rows by eight columns of sums at a time.
//
// This many sums hide the latency of multiply-adds and fit in the engine's registers.
import { int, ptr } from '../shared/arguments';
import { madd } from '../shared/math';
import { touch } from '../shared/touch';
import { FloatMatMulArg, MatMulArg } from './args';
import { finish } from './common';
import { COLUMN_BLOCK, columnsOf } from './f32_panels';
import { rowF32 } from './f32_row';

/** Bytes of a weight that fit in the caches. */
const CACHED: usize = 16 << 20;
/** Bytes of six values, and of a strip of COLUMN_BLOCK columns. */
const SIX: usize = 24;
const STRIP: usize = COLUMN_BLOCK * SIX;

/**
 * A unit is a block of rows and some panels, for which a block of x is gathered once, six rows interleaved.
 * Without gathering, rows or columns a power of two apart would evict each other from the cache.
 */
export function blockF32(args: usize, unit: i32, scratch: usize): void {
  const columns = ptr(args, MatMulArg.columns);
  const xStride = ptr(args, FloatMatMulArg.xStride) << 2;
  const yStride = ptr(args, MatMulArg.yStride) << 2;
  const block = int(args, MatMulArg.block);
  const atOnce = int(args, FloatMatMulArg.panelsAtOnce);
  const parts = (int(args, MatMulArg.panels) + atOnce - 1) / atOnce;
  const first = (unit % parts) * atOnce;
  const last = min(first + atOnce, int(args, MatMulArg.panels));
  const m0 = (unit / parts) * block;
  const rows = min(block, int(args, MatMulArg.rows) - m0);
  const isTransposed = int(args, FloatMatMulArg.xTransposed) !== 0;
  const plain =
    ptr(args, MatMulArg.bias) === 0 &&
    ptr(args, MatMulArg.residual) === 0 &&
    int(args, MatMulArg.activation) === 0;
  // From memory, reading eight columns (a part of each cache line) would be slow.
  const isFar = (columns << 7) * ptr(args, MatMulArg.panels) > CACHED;
  const sumBytes = (<usize>block) << 7;
  const strips = scratch + <usize>atOnce * sumBytes;
  const part = strips + <usize>((block + 5) / 6) * STRIP;
  if (!isTransposed) touch(ptr(args, MatMulArg.x) + <usize>m0 * xStride, <usize>rows * xStride);
  for (let k: usize = 0; k < columns; k += COLUMN_BLOCK) {
    const count = min(COLUMN_BLOCK, columns - k);
    if (isTransposed) {
      gatherColumns(
        ptr(args, MatMulArg.x) + ((<usize>m0) << 2) + k * xStride,
        xStride,
        strips,
        rows,
        count,
      );
    } else {
      gatherRows(
        ptr(args, MatMulArg.x) + <usize>m0 * xStride + (k << 2),
        xStride,
        strips,
        rows,
        count,
      );
    }
    for (let panel = first; panel < last; panel++) {
      const w = columnsOf(args, panel, k, count, part);
      if (isFar && w !== part) touch(w, count << 7);
      const width = min(32, int(args, MatMulArg.outFeatures) - (panel << 5));
      // Without an epilogue, the sums are y.
      if (plain && width === 32) {
        const y = ptr(args, MatMulArg.y) + <usize>m0 * yStride + ((<usize>panel) << 7);
        addStrips(w, strips, count, y, yStride, rows, width, k === 0);
      } else {
        const sums = scratch + <usize>(panel - first) * sumBytes;
        addStrips(w, strips, count, sums, 128, rows, width, k === 0);
      }
    }
  }
  for (let panel = first; panel < last; panel++) {
    if (plain && (panel << 5) + 32 <= int(args, MatMulArg.outFeatures)) continue;
    finish(args, scratch + <usize>(panel - first) * sumBytes, 32, m0, m0 + rows, panel << 5);
  }
}

/** sums (rows, width), sumStride bytes apart, += the strips times f32 columns of a panel; `fresh` starts from 0. */
function addStrips(
  w: usize,
  strips: usize,
  count: usize,
  sums: usize,
  sumStride: usize,
  rows: i32,
  width: i32,
  fresh: bool,
): void {
  const end = (<usize>width) << 2;
  let m: i32 = 0;
  for (; m + 6 <= rows; m += 6) {
    const c = sums + <usize>m * sumStride;
    for (let n: usize = 0; n < end; n += 32) tile6x8(w + n, strips, count, c + n, sumStride, fresh);
    strips += STRIP;
  }
  for (; m < rows; m++) {
    const c = sums + <usize>m * sumStride;
    if (fresh) memory.fill(c, 0, 128);
    rowF32(w, strips, SIX, count, c);
    strips += 4;
  }
}

/** x (count, rows) as one (count, 6) after the other; the last one holds fewer than six rows. */
function gatherColumns(x: usize, xStride: usize, strips: usize, rows: i32, count: usize): void {
  const whole = <usize>(rows / 6) * SIX;
  const end = (<usize>rows) << 2;
  const last = strips + count * SIX;
  for (; strips < last; strips += SIX) {
    let to = strips;
    let m: usize = 0;
    for (; m < whole; m += SIX) {
      v128.store(to, v128.load(x + m));
      store<u64>(to, load<u64>(x + m, 16), 16);
      to += STRIP;
    }
    for (; m < end; m += 4) {
      store<f32>(to, load<f32>(x + m));
      to += 4;
    }
    x += xStride;
  }
}

/** x (rows, count) as one (count, 6) after the other; the last one holds fewer than six rows. */
function gatherRows(x: usize, xStride: usize, strips: usize, rows: i32, count: usize): void {
  let m: i32 = 0;
  for (; m + 6 <= rows; m += 6) {
    gatherSix(x, xStride, strips, count);
    x += xStride * 6;
    strips += STRIP;
  }
  for (; m < rows; m++) {
    for (let k: usize = 0; k < count; k++) store<f32>(strips + k * SIX, load<f32>(x + (k << 2)));
    x += xStride;
    strips += 4;
  }
}

function gatherSix(a: usize, xStride: usize, to: usize, count: usize): void {
  const b = a + xStride;
  const c = b + xStride;
  const d = c + xStride;
  const e = d + xStride;
  const f = e + xStride;
  const bytes = count << 2;
  let k: usize = 0;
  for (; k + 16 <= bytes; k += 16) {
    let v = v128.load(a + k);
    let w = v128.load(b + k);
    const ab0 = v128.shuffle<i32>(v, w, 0, 4, 1, 5);
    const ab1 = v128.shuffle<i32>(v, w, 2, 6, 3, 7);
    v = v128.load(c + k);
    w = v128.load(d + k);
    const cd0 = v128.shuffle<i32>(v, w, 0, 4, 1, 5);
    const cd1 = v128.shuffle<i32>(v, w, 2, 6, 3, 7);
    v = v128.load(e + k);
    w = v128.load(f + k);
    const ef0 = v128.shuffle<i32>(v, w, 0, 4, 1, 5);
    const ef1 = v128.shuffle<i32>(v, w, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<i64>(ab0, cd0, 0, 2));
    v128.store(to, v128.shuffle<i64>(ef0, ab0, 0, 3), 16);
    v128.store(to, v128.shuffle<i64>(cd0, ef0, 1, 3), 32);
    v128.store(to, v128.shuffle<i64>(ab1, cd1, 0, 2), 48);
    v128.store(to, v128.shuffle<i64>(ef1, ab1, 0, 3), 64);
    v128.store(to, v128.shuffle<i64>(cd1, ef1, 1, 3), 80);
    to += 96;
  }
  for (; k < bytes; k += 4) {
    store<f32>(to, load<f32>(a + k));
    store<f32>(to, load<f32>(b + k), 4);
    store<f32>(to, load<f32>(c + k), 8);
    store<f32>(to, load<f32>(d + k), 12);
    store<f32>(to, load<f32>(e + k), 16);
    store<f32>(to, load<f32>(f + k), 20);
    to += SIX;
  }
}

/** 6 rows by 8 columns of sums, the values of the six rows interleaved. */
export function tile6x8(
  w: usize,
  x: usize,
  count: usize,
  c: usize,
  cStride: usize,
  fresh: bool,
): void {
  const r1 = c + cStride;
  const r2 = r1 + cStride;
  const r3 = r2 + cStride;
  const r4 = r3 + cStride;
  const r5 = r4 + cStride;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let d0 = a0;
  let d1 = a0;
  let e0 = a0;
  let e1 = a0;
  let f0 = a0;
  let f1 = a0;
  if (!fresh) {
    a0 = v128.load(c);
    a1 = v128.load(c, 16);
    b0 = v128.load(r1);
    b1 = v128.load(r1, 16);
    c0 = v128.load(r2);
    c1 = v128.load(r2, 16);
    d0 = v128.load(r3);
    d1 = v128.load(r3, 16);
    e0 = v128.load(r4);
    e1 = v128.load(r4, 16);
    f0 = v128.load(r5);
    f1 = v128.load(r5, 16);
  }
  const end = w + (count << 7);
  while (w < end) {
    const w0 = v128.load(w);
    const w1 = v128.load(w, 16);
    w += 128;
    let t = v128.load32_splat(x);
    a0 = madd(w0, t, a0);
    a1 = madd(w1, t, a1);
    t = v128.load32_splat(x, 4);
    b0 = madd(w0, t, b0);
    b1 = madd(w1, t, b1);
    t = v128.load32_splat(x, 8);
    c0 = madd(w0, t, c0);
    c1 = madd(w1, t, c1);
    t = v128.load32_splat(x, 12);
    d0 = madd(w0, t, d0);
    d1 = madd(w1, t, d1);
    t = v128.load32_splat(x, 16);
    e0 = madd(w0, t, e0);
    e1 = madd(w1, t, e1);
    t = v128.load32_splat(x, 20);
    f0 = madd(w0, t, f0);
    f1 = madd(w1, t, f1);
    x += SIX;
  }
  v128.store(c, a0);
  v128.store(c, a1, 16);
  v128.store(r1, b0);
  v128.store(r1, b1, 16);
  v128.store(r2, c0);
  v128.store(r2, c1, 16);
  v128.store(r3, d0);
  v128.store(r3, d1, 16);
  v128.store(r4, e0);
  v128.store(r4, e1, 16);
  v128.store(r5, f0);
  v128.store(r5, f1, 16);
}
