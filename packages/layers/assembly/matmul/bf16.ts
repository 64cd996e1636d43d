// Matmuls by bf16 weights: each value of y is one chain of multiply-adds along the columns.
//
// A panel of 32 rows stores, column by column, 16 rows and then the other 16, so that the sums of two half
// panels with one row, or of one with two rows, stay in registers. Within 8 rows the order is 0 4 1 5 2 6 3
// 7, so that one shift and one mask widen them.
import { int, ptr } from '../shared/arguments';
import { upperHalves } from '../shared/constants';
import { madd } from '../shared/math';
import { FloatMatMulArg, MatMulArg } from './args';
import { BF16_COLUMN, finish, prefetchLimitOf, readsTwoStreams } from './common';
import { PAGE, pageOf, prefetchPage } from './pages';

export function matMulBf16(args: usize, begin: i32, end: i32, scratch: usize): void {
  const panels = int(args, MatMulArg.panels);
  const block = int(args, MatMulArg.block);
  const columns = ptr(args, MatMulArg.columns);
  const xStride = ptr(args, FloatMatMulArg.xStride) << 2;
  const panelBytes = columns * (2 * BF16_COLUMN);
  const prefetchLimit = prefetchLimitOf(
    args,
    ptr(args, MatMulArg.weight) + <usize>panels * panelBytes,
  );
  let unit = begin;
  if (int(args, MatMulArg.rows) === 1 && readsTwoStreams(args)) {
    const half = (end - begin) >> 1;
    const apart = <usize>half * panelBytes;
    for (; unit < begin + half; unit++) {
      const weight = ptr(args, MatMulArg.weight) + <usize>unit * panelBytes;
      rowByTwoPanels(args, weight, apart, prefetchLimit, ptr(args, MatMulArg.x), scratch);
      finish(args, scratch, 32, 0, 1, unit << 5);
      finish(args, scratch + 128, 32, 0, 1, (unit + half) << 5);
    }
    unit += half;
  }
  for (; unit < end; unit++) {
    const panel = unit % panels;
    const m0 = (unit / panels) * block;
    const m1 = min(m0 + block, int(args, MatMulArg.rows));
    const weight = ptr(args, MatMulArg.weight) + <usize>panel * panelBytes;
    const x = ptr(args, MatMulArg.x) + <usize>m0 * xStride;
    const odd = (m1 - m0) & 1;
    const last = m1 - m0 - odd;
    if (last > 0) pairs(weight, columns, x, xStride, last, scratch);
    if (odd)
      rowBf16(
        args,
        weight,
        prefetchLimit,
        x + <usize>last * xStride,
        scratch + ((<usize>last) << 7),
      );
    finish(args, scratch, 32, m0, m1, panel << 5);
  }
}

/** Bytes of a half that are read sequentially: its pages, if the weight starts on a page. */
const RUN: usize = PAGE;

/**
 * One row of x against two panels, `apart` bytes apart, read interleaved. Pages are prefetched up to
 * `prefetchLimit`.
 */
function rowByTwoPanels(
  args: usize,
  p: usize,
  apart: usize,
  prefetchLimit: usize,
  x: usize,
  sums: usize,
): void {
  const half = ptr(args, MatMulArg.columns) * BF16_COLUMN;
  memory.fill(sums, 0, 256);
  halves<u16>(args, p, apart, prefetchLimit, x, sums, sums + 128);
  halves<u16>(args, p + half, apart, prefetchLimit, x, sums + 64, sums + 192);
}

/**
 * One row of x against a panel. If several rows read it, it is in the cache, and interleaving both halves
 * takes fewer instructions.
 */
function rowBf16(args: usize, p: usize, prefetchLimit: usize, x: usize, sums: usize): void {
  const half = ptr(args, MatMulArg.columns) * BF16_COLUMN;
  memory.fill(sums, 0, 128);
  if (int(args, MatMulArg.rows) > 1) {
    halves<u16>(args, p, half, 0, x, sums, sums + 64);
  } else {
    halves<u8>(args, p, 0, prefetchLimit, x, sums, 0);
    halves<u8>(args, p + half, 0, prefetchLimit, x, sums + 64, 0);
  }
}

/**
 * 16 sums += one row of x by the half panel at p; with an N of 2 bytes, others += it by the half `apart`
 * bytes further on.
 */
function halves<N>(
  args: usize,
  p: usize,
  apart: usize,
  prefetchLimit: usize,
  x: usize,
  sums: usize,
  others: usize,
): void {
  const panels = ptr(args, MatMulArg.weight);
  const last = p + ptr(args, MatMulArg.columns) * BF16_COLUMN;
  let page = pageOf(panels, p);
  let otherPage = pageOf(panels, p + apart);
  while (p < last) {
    if (p >= page) {
      page += PAGE;
      prefetchPage(page, panels, prefetchLimit);
    }
    if (sizeof<N>() === 2 && p + apart >= otherPage) {
      otherPage += PAGE;
      prefetchPage(otherPage, panels, prefetchLimit);
    }
    const bytes = min(RUN, last - p);
    const xEnd = x + (bytes >> 3);
    columnsOfHalves<N>(p, p + apart, x, xEnd, sums, others);
    p += bytes;
    x = xEnd;
  }
}

/**
 * 16 sums += x up to xEnd by columns at p; with an N of 2 bytes, others += x by the columns at r. Two
 * columns per iteration with a stop check between them: loads in one block would exceed the registers.
 */
function columnsOfHalves<N>(
  p: usize,
  r: usize,
  x: usize,
  xEnd: usize,
  sums: usize,
  others: usize,
): void {
  const high = upperHalves();
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

/**
 * sums (rows, 32) = an even number of rows of x by the panel at p. Each pair of rows reads a half
 * sequentially: the first pair from memory, the others from the second-level cache.
 */
function pairs(p: usize, columns: usize, x: usize, xStride: usize, rows: i32, sums: usize): void {
  const end = sums + ((<usize>rows) << 7);
  for (let n: usize = 0; n < 128; n += 64) {
    let xm = x;
    for (let c = sums; c < end; c += 256) {
      pair(p, columns, xm, xm + xStride, c + n, c + n + 128);
      xm += xStride << 1;
    }
    p += columns * BF16_COLUMN;
  }
}

/** 16 sums each of two rows, x and y, by half a panel. Two columns a round, as in columnsOfHalves. */
function pair(p: usize, columns: usize, x: usize, y: usize, c: usize, d: usize): void {
  const high = upperHalves();
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  const end = x + (columns << 2);
  let v: v128;
  let w: v128;
  while (true) {
    let t = v128.load32_splat(x);
    let u = v128.load32_splat(y);
    v = v128.load(p);
    w = i32x4.shl(v, 16);
    a0 = madd(w, t, a0);
    b0 = madd(w, u, b0);
    w = v128.and(v, high);
    a1 = madd(w, t, a1);
    b1 = madd(w, u, b1);
    v = v128.load(p, 16);
    w = i32x4.shl(v, 16);
    a2 = madd(w, t, a2);
    b2 = madd(w, u, b2);
    w = v128.and(v, high);
    a3 = madd(w, t, a3);
    b3 = madd(w, u, b3);
    x += 4;
    y += 4;
    if (x >= end) break;
    t = v128.load32_splat(x);
    u = v128.load32_splat(y);
    v = v128.load(p, 32);
    w = i32x4.shl(v, 16);
    a0 = madd(w, t, a0);
    b0 = madd(w, u, b0);
    w = v128.and(v, high);
    a1 = madd(w, t, a1);
    b1 = madd(w, u, b1);
    v = v128.load(p, 48);
    w = i32x4.shl(v, 16);
    a2 = madd(w, t, a2);
    b2 = madd(w, u, b2);
    w = v128.and(v, high);
    a3 = madd(w, t, a3);
    b3 = madd(w, u, b3);
    x += 4;
    y += 4;
    p += 2 * BF16_COLUMN;
    if (x >= end) break;
  }
  v128.store(c, a0);
  v128.store(c, a1, 16);
  v128.store(c, a2, 32);
  v128.store(c, a3, 48);
  v128.store(d, b0);
  v128.store(d, b1, 16);
  v128.store(d, b2, 32);
  v128.store(d, b3, 48);
}
