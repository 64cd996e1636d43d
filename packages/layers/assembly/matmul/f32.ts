// Matmuls by f32 weights: each value of y is one chain of multiply-adds along the columns.
//
// A panel of 32 rows is stored column by column. Weights may also be plain rows (WEIGHT_STRIDE not 0).
import { int, ptr } from '../shared/arguments';
import { madd } from '../shared/math';
import { FloatMatMulArg, MatMulArg } from './args';
import { finish } from './common';
import { blockF32 } from './f32_block';
import { COLUMN_BLOCK, columnsOf } from './f32_panels';
import { rowF32 } from './f32_row';

export function matMulF32(args: usize, begin: i32, end: i32, scratch: usize): void {
  const panels = int(args, MatMulArg.panels);
  const block = int(args, MatMulArg.block);
  const columns = ptr(args, MatMulArg.columns);
  const xStride = ptr(args, FloatMatMulArg.xStride) << 2;
  const yStride = ptr(args, MatMulArg.yStride) << 2;
  const plain =
    ptr(args, MatMulArg.bias) === 0 &&
    ptr(args, MatMulArg.residual) === 0 &&
    int(args, MatMulArg.activation) === 0;
  for (let unit = begin; unit < end; unit++) {
    if (int(args, FloatMatMulArg.panelsAtOnce)) {
      blockF32(args, unit, scratch);
      continue;
    }
    const panel = unit % panels;
    const m0 = (unit / panels) * block;
    const m1 = min(m0 + block, int(args, MatMulArg.rows));
    const x = ptr(args, MatMulArg.x) + <usize>m0 * xStride;
    // Without an epilogue, the sums are y.
    const isDone = plain && (panel << 5) + 32 <= int(args, MatMulArg.outFeatures);
    const y = ptr(args, MatMulArg.y) + <usize>m0 * yStride + ((<usize>panel) << 7);
    const sums = isDone ? y : scratch;
    const sumStride = isDone ? yStride : 128;
    const part = scratch + ((<usize>block) << 7);
    for (let k: usize = 0; k < columns; k += COLUMN_BLOCK) {
      const count = min(COLUMN_BLOCK, columns - k);
      const w = columnsOf(args, panel, k, count, part);
      tiles(w, x + (k << 2), xStride, count, sums, sumStride, m1 - m0, k === 0);
    }
    if (!isDone) finish(args, scratch, 32, m0, m1, panel << 5);
  }
}

/**
 * sums (rows, 32), sumStride bytes apart, += x (rows, count) times f32 columns of a panel; `fresh` starts
 * from 0.
 */
function tiles(
  w: usize,
  x: usize,
  xStride: usize,
  count: usize,
  sums: usize,
  sumStride: usize,
  rows: i32,
  fresh: bool,
): void {
  let m: i32 = 0;
  for (; m + 2 <= rows; m += 2) {
    const xm = x + <usize>m * xStride;
    const c = sums + <usize>m * sumStride;
    for (let n: usize = 0; n < 128; n += 64) {
      tile2(w + n, xm, xStride, count, c + n, sumStride, fresh);
    }
  }
  for (; m < rows; m++) {
    const c = sums + <usize>m * sumStride;
    if (fresh) memory.fill(c, 0, 128);
    rowF32(w, x + <usize>m * xStride, 4, count, c);
  }
}

/** 2 rows by 16 columns of sums: few enough for the engine's registers. */
function tile2(
  w: usize,
  x: usize,
  xStride: usize,
  count: usize,
  c: usize,
  cStride: usize,
  fresh: bool,
): void {
  const x1 = x + xStride;
  const c1 = c + cStride;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  if (!fresh) {
    a0 = v128.load(c);
    a1 = v128.load(c, 16);
    a2 = v128.load(c, 32);
    a3 = v128.load(c, 48);
    b0 = v128.load(c1);
    b1 = v128.load(c1, 16);
    b2 = v128.load(c1, 32);
    b3 = v128.load(c1, 48);
  }
  const end = count << 2;
  for (let k: usize = 0; k < end; k += 4) {
    const w0 = v128.load(w);
    const w1 = v128.load(w, 16);
    const w2 = v128.load(w, 32);
    const w3 = v128.load(w, 48);
    w += 128;
    let t = v128.load32_splat(x + k);
    a0 = madd(w0, t, a0);
    a1 = madd(w1, t, a1);
    a2 = madd(w2, t, a2);
    a3 = madd(w3, t, a3);
    t = v128.load32_splat(x1 + k);
    b0 = madd(w0, t, b0);
    b1 = madd(w1, t, b1);
    b2 = madd(w2, t, b2);
    b3 = madd(w3, t, b3);
  }
  v128.store(c, a0);
  v128.store(c, a1, 16);
  v128.store(c, a2, 32);
  v128.store(c, a3, 48);
  v128.store(c1, b0);
  v128.store(c1, b1, 16);
  v128.store(c1, b2, 32);
  v128.store(c1, b3, 48);
}
