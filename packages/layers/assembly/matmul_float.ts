// Products by f32 and bf16 weights: each number of y is one chain of multiply-adds along the columns.
//
// A panel of 32 rows holds column after column. bf16: first those of 16 rows, then those of the other 16, so that the
// sums of two panels' halves, which are read in turns, stay in registers; within 8 rows the order is 0 4 1 5 2 6 3 7, so
// that one shift and one mask widen them. f32 weights may also be plain rows (WEIGHT_STRIDE not 0).
import { int, madd, ptr } from './math';
import {
  ACTIVATION,
  askedUntil,
  BF16_COLUMN,
  BIAS,
  BLOCK,
  COLUMNS,
  finish,
  OUT_FEATURES,
  PANELS,
  RESIDUAL,
  ROWS,
  readsTwoPlaces,
  WEIGHT,
  X,
  X_STRIDE,
  Y,
  Y_STRIDE,
} from './matmul';
import { blockF32, PANELS_AT_ONCE } from './matmul_f32';
import { askForPage, PAGE, pageOf } from './pages';
import { COLUMN_BLOCK, columnsOf } from './panels_f32';

export function matMulBf16(args: usize, begin: i32, end: i32, scratch: usize): void {
  const panels = int(args, PANELS);
  const block = int(args, BLOCK);
  const columns = ptr(args, COLUMNS);
  const xStride = ptr(args, X_STRIDE) << 2;
  const panelBytes = columns * (2 * BF16_COLUMN);
  const asked = askedUntil(args, ptr(args, WEIGHT) + <usize>panels * panelBytes);
  let unit = begin;
  if (int(args, ROWS) === 1 && readsTwoPlaces(args)) {
    const half = (end - begin) >> 1;
    const apart = <usize>half * panelBytes;
    for (; unit < begin + half; unit++) {
      const weight = ptr(args, WEIGHT) + <usize>unit * panelBytes;
      rowByTwoPanels(args, weight, apart, asked, ptr(args, X), scratch);
      finish(args, scratch, 32, 0, 1, unit << 5);
      finish(args, scratch + 128, 32, 0, 1, (unit + half) << 5);
    }
    unit += half;
  }
  for (; unit < end; unit++) {
    const panel = unit % panels;
    const m0 = (unit / panels) * block;
    const m1 = min(m0 + block, int(args, ROWS));
    const weight = ptr(args, WEIGHT) + <usize>panel * panelBytes;
    const x = ptr(args, X) + <usize>m0 * xStride;
    if (m1 - m0 < 4) {
      for (let m: usize = 0; m < <usize>(m1 - m0); m++) {
        rowBf16(args, weight, asked, x + m * xStride, scratch + (m << 7));
      }
    } else {
      const wide = scratch + ((<usize>block) << 7);
      for (let k: usize = 0; k < columns; k += COLUMN_BLOCK) {
        const count = min(COLUMN_BLOCK, columns - k);
        const columnAt = weight + k * BF16_COLUMN;
        widenBf16(columnAt, wide, count);
        widenBf16(columnAt + (panelBytes >> 1), wide + 64, count);
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
    if (int(args, PANELS_AT_ONCE)) {
      blockF32(args, unit, scratch);
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

/** Bytes of a half that are read on end, which are its pages where the weight's begin with them. */
const RUN: usize = PAGE;

/** One row of x against two panels, `apart` bytes apart, which are read in turns; their pages are asked for up to `asked`. */
function rowByTwoPanels(
  args: usize,
  p: usize,
  apart: usize,
  asked: usize,
  x: usize,
  sums: usize,
): void {
  const half = ptr(args, COLUMNS) * BF16_COLUMN;
  memory.fill(sums, 0, 256);
  halves<u16>(args, p, apart, asked, x, sums, sums + 128);
  halves<u16>(args, p + half, apart, asked, x, sums + 64, sums + 192);
}

/** One row of x against a panel: from caches, where several rows have it, both halves in turns take fewer instructions. */
function rowBf16(args: usize, p: usize, asked: usize, x: usize, sums: usize): void {
  const half = ptr(args, COLUMNS) * BF16_COLUMN;
  memory.fill(sums, 0, 128);
  if (int(args, ROWS) > 1) {
    halves<u16>(args, p, half, asked, x, sums, sums + 64);
  } else {
    halves<u8>(args, p, 0, asked, x, sums, 0);
    halves<u8>(args, p + half, 0, asked, x, sums + 64, 0);
  }
}

/** 16 sums += one row of x by the half of a panel at p; with an N of 2 bytes others += it by the half `apart` bytes on. */
function halves<N>(
  args: usize,
  p: usize,
  apart: usize,
  asked: usize,
  x: usize,
  sums: usize,
  others: usize,
): void {
  const panels = ptr(args, WEIGHT);
  const last = p + ptr(args, COLUMNS) * BF16_COLUMN;
  let page = pageOf(panels, p);
  let otherPage = pageOf(panels, p + apart);
  while (p < last) {
    if (p >= page) {
      page += PAGE;
      askForPage(page, panels, asked);
    }
    if (sizeof<N>() === 2 && p + apart >= otherPage) {
      otherPage += PAGE;
      askForPage(otherPage, panels, asked);
    }
    const bytes = min(RUN, last - p);
    const xEnd = x + (bytes >> 3);
    columnsOfHalves<N>(p, p + apart, x, xEnd, sums, others);
    p += bytes;
    x = xEnd;
  }
}

/**
 * 16 sums += x up to xEnd, some numbers, by columns at p; with an N of 2 bytes others += them by those at r. Two columns a
 * round, as the engine looks each time whether to stop; were their loads in one block, it would run out of registers.
 */
function columnsOfHalves<N>(
  p: usize,
  r: usize,
  x: usize,
  xEnd: usize,
  sums: usize,
  others: usize,
): void {
  const high = i32x4.splat(0xffff0000);
  let s0 = v128.load(sums);
  let s1 = v128.load(sums, 16);
  let s2 = v128.load(sums, 32);
  let s3 = v128.load(sums, 48);
  let s4 = f32x4.splat(0);
  let s5 = f32x4.splat(0);
  let s6 = f32x4.splat(0);
  let s7 = f32x4.splat(0);
  if (sizeof<N>() === 2) {
    s4 = v128.load(others);
    s5 = v128.load(others, 16);
    s6 = v128.load(others, 32);
    s7 = v128.load(others, 48);
  }
  let v: v128;
  while (true) {
    let t = v128.load32_splat(x);
    v = v128.load(p);
    s0 = madd(i32x4.shl(v, 16), t, s0);
    s1 = madd(v128.and(v, high), t, s1);
    v = v128.load(p, 16);
    s2 = madd(i32x4.shl(v, 16), t, s2);
    s3 = madd(v128.and(v, high), t, s3);
    if (sizeof<N>() === 2) {
      v = v128.load(r);
      s4 = madd(i32x4.shl(v, 16), t, s4);
      s5 = madd(v128.and(v, high), t, s5);
      v = v128.load(r, 16);
      s6 = madd(i32x4.shl(v, 16), t, s6);
      s7 = madd(v128.and(v, high), t, s7);
    }
    x += 4;
    if (x >= xEnd) break;
    t = v128.load32_splat(x);
    v = v128.load(p, 32);
    s0 = madd(i32x4.shl(v, 16), t, s0);
    s1 = madd(v128.and(v, high), t, s1);
    v = v128.load(p, 48);
    s2 = madd(i32x4.shl(v, 16), t, s2);
    s3 = madd(v128.and(v, high), t, s3);
    if (sizeof<N>() === 2) {
      v = v128.load(r, 32);
      s4 = madd(i32x4.shl(v, 16), t, s4);
      s5 = madd(v128.and(v, high), t, s5);
      v = v128.load(r, 48);
      s6 = madd(i32x4.shl(v, 16), t, s6);
      s7 = madd(v128.and(v, high), t, s7);
    }
    x += 4;
    p += 2 * BF16_COLUMN;
    r += 2 * BF16_COLUMN;
    if (x >= xEnd) break;
  }
  v128.store(sums, s0);
  v128.store(sums, s1, 16);
  v128.store(sums, s2, 32);
  v128.store(sums, s3, 48);
  if (sizeof<N>() === 2) {
    v128.store(others, s4);
    v128.store(others, s5, 16);
    v128.store(others, s6, 32);
    v128.store(others, s7, 48);
  }
}

/** bf16 columns of half a panel as f32, in columns of 32. */
function widenBf16(p: usize, wide: usize, count: usize): void {
  const high = i32x4.splat(0xffff0000);
  const end = p + count * BF16_COLUMN;
  while (p < end) {
    let v = v128.load(p);
    v128.store(wide, i32x4.shl(v, 16));
    v128.store(wide, v128.and(v, high), 16);
    v = v128.load(p, 16);
    v128.store(wide, i32x4.shl(v, 16), 32);
    v128.store(wide, v128.and(v, high), 48);
    p += BF16_COLUMN;
    wide += 128;
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

/** One row by 32 columns of sums; the row's numbers are xStep bytes apart. */
export function rowF32(w: usize, x: usize, xStep: usize, count: usize, c: usize): void {
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
