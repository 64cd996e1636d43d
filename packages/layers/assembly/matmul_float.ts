// Products by f32 and bf16 weights: each number of y is one chain of multiply-adds along the columns.
//
// A panel of 32 rows holds column after column. bf16: within 8 rows the order is 0 4 1 5 2 6 3 7, so
// that one shift and one mask widen them. f32 weights may also be plain rows (WEIGHT_STRIDE not 0).
import { int, madd, ptr } from './math';
import {
  ACTIVATION,
  BIAS,
  BLOCK,
  COLUMNS,
  copy32,
  finish,
  OUT_FEATURES,
  PANELS,
  RESIDUAL,
  ROWS,
  WEIGHT,
  X,
  X_STRIDE,
  Y,
  Y_STRIDE,
} from './matmul';
import { askForPage, PAGE, pageOf } from './pages';

/** Numbers from a row (or, transposed, a column) of a plain f32 weight to the next; 0 for panels. */
const WEIGHT_STRIDE: usize = 18;
/** Not 0 where the plain weight is (columns, outFeatures). */
const TRANSPOSED: usize = 19;
/** Not 0 where x is (columns, rows), X_STRIDE apart from one column to the next. */
const X_TRANSPOSED: usize = 20;
/** Panels of a unit where x is (columns, rows). */
const PANELS_AT_ONCE: usize = 21;

/** Columns of a panel that are widened at once: 32 KB, as much as the first-level cache. */
const COLUMN_BLOCK: usize = 192;

export function matMulBf16(args: usize, begin: i32, end: i32, scratch: usize): void {
  const panels = int(args, PANELS);
  const block = int(args, BLOCK);
  const columns = ptr(args, COLUMNS);
  const xStride = ptr(args, X_STRIDE) << 2;
  const panelsEnd = ptr(args, WEIGHT) + <usize>panels * (columns << 6);
  for (let unit = begin; unit < end; unit++) {
    const panel = unit % panels;
    const m0 = (unit / panels) * block;
    const m1 = min(m0 + block, int(args, ROWS));
    const weight = ptr(args, WEIGHT) + <usize>panel * (columns << 6);
    const x = ptr(args, X) + <usize>m0 * xStride;
    if (m1 - m0 < 4) {
      for (let m: usize = 0; m < <usize>(m1 - m0); m++) {
        rowBf16(args, weight, panelsEnd, x + m * xStride, scratch + (m << 7));
      }
    } else {
      const wide = scratch + ((<usize>block) << 7);
      for (let k: usize = 0; k < columns; k += COLUMN_BLOCK) {
        const count = min(COLUMN_BLOCK, columns - k);
        widenBf16(weight + (k << 6), wide, count);
        tiles(wide, x + (k << 2), xStride, count, scratch, 128, m1 - m0, k === 0);
      }
    }
    finish(args, scratch, 32, m0, m1, panel << 5);
  }
}

export function matMulF32(args: usize, begin: i32, end: i32, scratch: usize): void {
  const panels = int(args, PANELS);
  const block = int(args, BLOCK);
  const columns = ptr(args, COLUMNS);
  const xStride = ptr(args, X_STRIDE) << 2;
  const yStride = ptr(args, Y_STRIDE) << 2;
  const plain = ptr(args, BIAS) === 0 && ptr(args, RESIDUAL) === 0 && int(args, ACTIVATION) === 0;
  for (let unit = begin; unit < end; unit++) {
    if (int(args, X_TRANSPOSED)) {
      columnBlock(args, unit, scratch);
      continue;
    }
    const panel = unit % panels;
    const m0 = (unit / panels) * block;
    const m1 = min(m0 + block, int(args, ROWS));
    const x = ptr(args, X) + <usize>m0 * xStride;
    // Where nothing follows the product, its sums are y.
    const isDone = plain && (panel << 5) + 32 <= int(args, OUT_FEATURES);
    const y = ptr(args, Y) + <usize>m0 * yStride + ((<usize>panel) << 7);
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
 * Panels of a plain matrix. Words: the matrix, numbers from a row (or, transposed, a column) to the next,
 * whether it is (columns, outFeatures), outFeatures, columns, the panels. A unit is a panel.
 */
export function packPanels(args: usize, begin: i32, end: i32): void {
  const stride = ptr(args, 1) << 2;
  const transposed = int(args, 2) !== 0;
  const columns = ptr(args, 4);
  for (let panel = begin; panel < end; panel++) {
    const rows = min(32, int(args, 3) - (panel << 5));
    const to = ptr(args, 5) + <usize>panel * (columns << 7);
    if (transposed) {
      copyColumns(ptr(args, 0) + ((<usize>panel) << 7), stride, to, rows, columns);
      continue;
    }
    for (let k: usize = 0; k < columns; k += COLUMN_BLOCK) {
      const count = min(COLUMN_BLOCK, columns - k);
      const from = ptr(args, 0) + ((<usize>panel) << 5) * stride + (k << 2);
      transposeRows(from, stride, to + (k << 7), rows, count);
    }
  }
}

/**
 * y = x^T times a plain matrix or panels, for x (columns, rows): the gradient of a weight. A unit is a block
 * of rows and some panels, for which a part of x is gathered once, four rows' numbers side by side: its
 * columns, often a power of two apart, would push each other out of the cache.
 */
function columnBlock(args: usize, unit: i32, scratch: usize): void {
  const columns = ptr(args, COLUMNS);
  const xStride = ptr(args, X_STRIDE) << 2;
  const block = int(args, BLOCK);
  const atOnce = int(args, PANELS_AT_ONCE);
  const parts = (int(args, PANELS) + atOnce - 1) / atOnce;
  const first = (unit % parts) * atOnce;
  const last = min(first + atOnce, int(args, PANELS));
  const m0 = (unit / parts) * block;
  const m1 = min(m0 + block, int(args, ROWS));
  const sumBytes = (<usize>block) << 7;
  const part = scratch + <usize>atOnce * sumBytes;
  const fours = part + (COLUMN_BLOCK << 7);
  memory.fill(scratch, 0, <usize>(last - first) * sumBytes);
  for (let k: usize = 0; k < columns; k += COLUMN_BLOCK) {
    const count = min(COLUMN_BLOCK, columns - k);
    const x = ptr(args, X) + ((<usize>m0) << 2) + k * xStride;
    gatherFours(x, xStride, fours, m1 - m0, count);
    for (let panel = first; panel < last; panel++) {
      const w = columnsOf(args, panel, k, count, part);
      const sums = scratch + <usize>(panel - first) * sumBytes;
      let m: i32 = 0;
      for (; m + 4 <= m1 - m0; m += 4) {
        const c = sums + ((<usize>m) << 7);
        const four = fours + (<usize>m >> 2) * (COLUMN_BLOCK << 4);
        for (let n: usize = 0; n < 128; n += 32) tile4Columns(w + n, four, count, c + n);
      }
      for (; m < m1 - m0; m++) {
        rowF32(w, x + ((<usize>m) << 2), xStride, count, sums + ((<usize>m) << 7));
      }
    }
  }
  for (let panel = first; panel < last; panel++) {
    finish(args, scratch + <usize>(panel - first) * sumBytes, 32, m0, m1, panel << 5);
  }
}

/** Where columns k ... of a panel stand; those of a plain matrix are written to `part`. */
function columnsOf(args: usize, panel: i32, k: usize, count: usize, part: usize): usize {
  const stride = ptr(args, WEIGHT_STRIDE) << 2;
  const weight = ptr(args, WEIGHT);
  if (stride === 0) return weight + <usize>panel * (ptr(args, COLUMNS) << 7) + (k << 7);
  const width = min(32, int(args, OUT_FEATURES) - (panel << 5));
  if (int(args, TRANSPOSED)) {
    copyColumns(weight + k * stride + ((<usize>panel) << 7), stride, part, width, count);
  } else {
    transposeRows(weight + ((<usize>panel) << 5) * stride + (k << 2), stride, part, width, count);
  }
  return part;
}

/** One row of x against a whole bf16 panel. */
function rowBf16(args: usize, p: usize, panelsEnd: usize, x: usize, sums: usize): void {
  const panels = ptr(args, WEIGHT);
  const high = i32x4.splat(0xffff0000);
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let s2 = f32x4.splat(0);
  let s3 = f32x4.splat(0);
  let s4 = f32x4.splat(0);
  let s5 = f32x4.splat(0);
  let s6 = f32x4.splat(0);
  let s7 = f32x4.splat(0);
  const last = p + (ptr(args, COLUMNS) << 6);
  let page = pageOf(panels, p);
  while (p < last) {
    page += PAGE;
    askForPage(page, panels, panelsEnd);
    const end = min(page, last);
    do {
      const t = v128.load32_splat(x);
      let v = v128.load(p);
      s0 = madd(i32x4.shl(v, 16), t, s0);
      s1 = madd(v128.and(v, high), t, s1);
      v = v128.load(p, 16);
      s2 = madd(i32x4.shl(v, 16), t, s2);
      s3 = madd(v128.and(v, high), t, s3);
      v = v128.load(p, 32);
      s4 = madd(i32x4.shl(v, 16), t, s4);
      s5 = madd(v128.and(v, high), t, s5);
      v = v128.load(p, 48);
      s6 = madd(i32x4.shl(v, 16), t, s6);
      s7 = madd(v128.and(v, high), t, s7);
      p += 64;
      x += 4;
    } while (p < end);
  }
  v128.store(sums, s0);
  v128.store(sums, s1, 16);
  v128.store(sums, s2, 32);
  v128.store(sums, s3, 48);
  v128.store(sums, s4, 64);
  v128.store(sums, s5, 80);
  v128.store(sums, s6, 96);
  v128.store(sums, s7, 112);
}

/** bf16 columns of a panel as f32. */
function widenBf16(p: usize, wide: usize, count: usize): void {
  const high = i32x4.splat(0xffff0000);
  const end = p + (count << 6);
  while (p < end) {
    const v = v128.load(p);
    v128.store(wide, i32x4.shl(v, 16));
    v128.store(wide, v128.and(v, high), 16);
    p += 16;
    wide += 32;
  }
}

/** Rows of a plain matrix as columns of a panel; missing rows are 0. */
function transposeRows(from: usize, stride: usize, to: usize, rows: i32, count: usize): void {
  for (let n: i32 = 0; n < 32; n += 4) {
    const r0 = from + <usize>n * stride;
    const r1 = r0 + stride;
    const r2 = r1 + stride;
    const r3 = r2 + stride;
    const out = to + ((<usize>n) << 2);
    let k: usize = 0;
    if (n + 4 <= rows) {
      for (; k + 4 <= count; k += 4) {
        const at = k << 2;
        const a = v128.load(r0 + at);
        const b = v128.load(r1 + at);
        const c = v128.load(r2 + at);
        const d = v128.load(r3 + at);
        const ab0 = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
        const ab1 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
        const cd0 = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
        const cd1 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
        const o = out + (k << 7);
        v128.store(o, v128.shuffle<i64>(ab0, cd0, 0, 2));
        v128.store(o + 128, v128.shuffle<i64>(ab0, cd0, 1, 3));
        v128.store(o + 256, v128.shuffle<i64>(ab1, cd1, 0, 2));
        v128.store(o + 384, v128.shuffle<i64>(ab1, cd1, 1, 3));
      }
    }
    for (; k < count; k++) {
      const o = out + (k << 7);
      for (let i: i32 = 0; i < 4; i++) {
        const value = n + i < rows ? load<f32>(r0 + <usize>i * stride + (k << 2)) : <f32>0;
        store<f32>(o + ((<usize>i) << 2), value);
      }
    }
  }
}

/** Rows of a plain (columns, outFeatures) matrix as columns of a panel; missing numbers are 0. */
function copyColumns(from: usize, stride: usize, to: usize, width: i32, count: usize): void {
  const end = to + (count << 7);
  for (; to < end; to += 128) {
    if (width === 32) {
      copy32(from, to);
    } else {
      memory.copy(to, from, (<usize>width) << 2);
      memory.fill(to + ((<usize>width) << 2), 0, (<usize>(32 - width)) << 2);
    }
    from += stride;
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

/** 2 rows by 16 columns of sums: few enough addresses and sums for the engine to keep in registers. */
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

/** x (count, rows) as one (count, 4) after the other; COLUMN_BLOCK columns have room in each. */
function gatherFours(x: usize, xStride: usize, to: usize, rows: i32, count: usize): void {
  const end = to + (count << 4);
  const width = (<usize>(rows & ~3)) << 2;
  for (; to < end; to += 16) {
    let four = to;
    for (let m: usize = 0; m < width; m += 16) {
      v128.store(four, v128.load(x + m));
      four += COLUMN_BLOCK << 4;
    }
    x += xStride;
  }
}

/** 4 rows by 8 columns of sums, the numbers of the four rows side by side. */
function tile4Columns(w: usize, x: usize, count: usize, c: usize): void {
  let a0 = v128.load(c);
  let a1 = v128.load(c, 16);
  let b0 = v128.load(c, 128);
  let b1 = v128.load(c, 144);
  let c0 = v128.load(c, 256);
  let c1 = v128.load(c, 272);
  let d0 = v128.load(c, 384);
  let d1 = v128.load(c, 400);
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
    x += 16;
  }
  v128.store(c, a0);
  v128.store(c, a1, 16);
  v128.store(c, b0, 128);
  v128.store(c, b1, 144);
  v128.store(c, c0, 256);
  v128.store(c, c1, 272);
  v128.store(c, d0, 384);
  v128.store(c, d1, 400);
}

/** One row by 32 columns of sums; the row's numbers are xStep bytes apart. */
function rowF32(w: usize, x: usize, xStep: usize, count: usize, c: usize): void {
  let s0 = v128.load(c);
  let s1 = v128.load(c, 16);
  let s2 = v128.load(c, 32);
  let s3 = v128.load(c, 48);
  let s4 = v128.load(c, 64);
  let s5 = v128.load(c, 80);
  let s6 = v128.load(c, 96);
  let s7 = v128.load(c, 112);
  const end = w + (count << 7);
  while (w < end) {
    const t = v128.load32_splat(x);
    s0 = madd(v128.load(w), t, s0);
    s1 = madd(v128.load(w, 16), t, s1);
    s2 = madd(v128.load(w, 32), t, s2);
    s3 = madd(v128.load(w, 48), t, s3);
    s4 = madd(v128.load(w, 64), t, s4);
    s5 = madd(v128.load(w, 80), t, s5);
    s6 = madd(v128.load(w, 96), t, s6);
    s7 = madd(v128.load(w, 112), t, s7);
    w += 128;
    x += xStep;
  }
  v128.store(c, s0);
  v128.store(c, s1, 16);
  v128.store(c, s2, 32);
  v128.store(c, s3, 48);
  v128.store(c, s4, 64);
  v128.store(c, s5, 80);
  v128.store(c, s6, 96);
  v128.store(c, s7, 112);
}
