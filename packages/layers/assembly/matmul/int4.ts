// Matmuls by int4 weights: nibbles times int8 activations, with integer sums within a group.
//
// A panel of 8 rows is a stream of groups: 4 bytes per row for each 8 columns (low nibbles are the first 4
// columns, high ones the next 4), then 8 scales and 8 offsets of 16 bits.
import { int, ptr } from '../shared/arguments';
import { lowNibbles, ones } from '../shared/constants';
import { IntMatMulArg, MatMulArg } from './args';
import { addTiles } from './byte_tiles';
import {
  addGroup,
  finish,
  prefetchLimitOf,
  QUANTIZED_STRIDE,
  readsTwoStreams,
  widenParameters,
} from './common';
import { areFewOfInt4, fewRowsOfInt4 } from './int4_few';
import { dot8, row } from './int4_row';

export function matMulInt4(args: usize, begin: i32, end: i32, scratch: usize): void {
  const whole = ASC_FEATURE_RELAXED_SIMD && int(args, IntMatMulArg.hasInt8Dot4) !== 0;
  if (int(args, IntMatMulArg.f16Parameters)) {
    if (whole) units<i16, u16>(args, begin, end, scratch);
    else units<i16, u8>(args, begin, end, scratch);
  } else {
    if (whole) units<u16, u16>(args, begin, end, scratch);
    else units<u16, u8>(args, begin, end, scratch);
  }
}

/** With a Q of 2 bytes, four products are summed at once (see byteDot4); else within a group in 16 bits. */
function units<S, Q>(args: usize, begin: i32, end: i32, scratch: usize): void {
  const panels = int(args, MatMulArg.panels);
  const block = int(args, MatMulArg.block);
  const rows = int(args, MatMulArg.rows);
  const panelBytes =
    (ptr(args, MatMulArg.columns) / ptr(args, IntMatMulArg.group)) *
    ((ptr(args, IntMatMulArg.group) << 2) + 32);
  const prefetchLimit = prefetchLimitOf(
    args,
    ptr(args, MatMulArg.weight) + <usize>panels * panelBytes,
  );
  let unit = begin;
  if (rows === 1 && readsTwoStreams(args)) {
    const half = (end - begin) >> 1;
    const apart = <usize>half * panelBytes;
    for (; unit < begin + half; unit++) {
      const weight = ptr(args, MatMulArg.weight) + <usize>unit * panelBytes;
      row<S, u16, Q>(args, weight, apart, prefetchLimit, 0, scratch);
      finish(args, scratch, 8, 0, 1, unit << 3);
      finish(args, scratch + 32, 8, 0, 1, (unit + half) << 3);
    }
    unit += half;
  }
  if (areFewOfInt4(rows)) {
    const weight = ptr(args, MatMulArg.weight) + <usize>unit * panelBytes;
    fewRowsOfInt4<S, Q>(args, weight, panelBytes, unit, end, scratch);
    return;
  }
  for (; unit < end; unit++) {
    const panel = unit % panels;
    const m0 = (unit / panels) * block;
    const m1 = min(m0 + block, rows);
    const weight = ptr(args, MatMulArg.weight) + <usize>panel * panelBytes;
    const tiled = m1 - leftOver<Q>(m1 - m0);
    if (tiled > m0) tiles<S, Q>(args, weight, m0, tiled, scratch);
    for (let m = tiled; m < m1; m++) {
      row<S, u8, Q>(args, weight, 0, prefetchLimit, m, scratch + ((<usize>(m - m0)) << 5));
    }
    finish(args, scratch, 8, m0, m1, panel << 3);
  }
}

/** How many of `rows` rows remain without a tile. */
function leftOver<Q>(rows: i32): i32 {
  if (sizeof<Q>() === 2) return rows === 1 ? 1 : 0;
  return rows & 3;
}

/** Rows [m0, m1) of x against a panel: group by group, unpacking its nibbles once. */
function tiles<S, Q>(args: usize, p: usize, m0: i32, m1: i32, sums: usize): void {
  const rows = ptr(args, MatMulArg.rows);
  const group = ptr(args, IntMatMulArg.group);
  const groups = ptr(args, MatMulArg.columns) / group;
  const parameters = sums + ((<usize>int(args, MatMulArg.block)) << 5);
  const bytes = parameters + 64;
  memory.fill(sums, 0, (<usize>(m1 - m0)) << 5);
  for (let g: usize = 0; g < groups; g++) {
    unpack(p, bytes, group);
    p += group << 2;
    widenParameters<S>(p, parameters);
    p += 32;
    const first = g * rows + <usize>m0;
    const x = ptr(args, MatMulArg.x) + first * QUANTIZED_STRIDE;
    const xs = ptr(args, IntMatMulArg.xScales) + (first << 2);
    const xb = ptr(args, IntMatMulArg.xSums) + (first << 2);
    if (sizeof<Q>() === 2) {
      const xc = ptr(args, IntMatMulArg.xCentres) + (first << 2);
      addTiles<Q>(x, bytes, group, sums, xs, xb, xc, parameters, <usize>(m1 - m0));
    } else {
      foursOfRows(x, bytes, group, sums, xs, xb, parameters, m1 - m0);
    }
  }
}

/** The nibbles of a group as bytes, 4 columns of the 8 rows at a time. */
function unpack(p: usize, bytes: usize, group: usize): void {
  const m15 = lowNibbles();
  const end = p + (group << 2);
  do {
    const a = v128.load(p);
    const b = v128.load(p, 16);
    v128.store(bytes, v128.and(a, m15));
    v128.store(bytes, v128.and(b, m15), 16);
    v128.store(bytes, v128.and(i16x8.shr_u(a, 4), m15), 32);
    v128.store(bytes, v128.and(i16x8.shr_u(b, 4), m15), 48);
    bytes += 64;
    p += 32;
  } while (p < end);
}

/**
 * Adds a group to the sums of `left` rows, four at a time. The integers fit in 16 bits: see quantize.ts.
 * The checks within the loop never end it; they keep the engine from loading all four steps at once, for
 * which it has too few registers.
 */
function foursOfRows(
  x: usize,
  w: usize,
  group: usize,
  c: usize,
  xs: usize,
  xb: usize,
  parameters: usize,
  left: i32,
): void {
  do {
    let a0 = i32x4.splat(0);
    let a1 = i32x4.splat(0);
    let b0 = i32x4.splat(0);
    let b1 = i32x4.splat(0);
    let d0 = i32x4.splat(0);
    let d1 = i32x4.splat(0);
    let e0 = i32x4.splat(0);
    let e1 = i32x4.splat(0);
    const end = x + group;
    let at = w;
    while (true) {
      let w0 = v128.load(at);
      let w1 = v128.load(at, 16);
      let t = v128.load32_splat(x);
      a0 = i16x8.add(a0, dot8(t, w0));
      a1 = i16x8.add(a1, dot8(t, w1));
      t = v128.load32_splat(x, QUANTIZED_STRIDE);
      b0 = i16x8.add(b0, dot8(t, w0));
      b1 = i16x8.add(b1, dot8(t, w1));
      t = v128.load32_splat(x, 2 * QUANTIZED_STRIDE);
      d0 = i16x8.add(d0, dot8(t, w0));
      d1 = i16x8.add(d1, dot8(t, w1));
      t = v128.load32_splat(x, 3 * QUANTIZED_STRIDE);
      e0 = i16x8.add(e0, dot8(t, w0));
      e1 = i16x8.add(e1, dot8(t, w1));
      x += 4;
      if (x >= end) break;
      w0 = v128.load(at, 32);
      w1 = v128.load(at, 48);
      t = v128.load32_splat(x);
      a0 = i16x8.add(a0, dot8(t, w0));
      a1 = i16x8.add(a1, dot8(t, w1));
      t = v128.load32_splat(x, QUANTIZED_STRIDE);
      b0 = i16x8.add(b0, dot8(t, w0));
      b1 = i16x8.add(b1, dot8(t, w1));
      t = v128.load32_splat(x, 2 * QUANTIZED_STRIDE);
      d0 = i16x8.add(d0, dot8(t, w0));
      d1 = i16x8.add(d1, dot8(t, w1));
      t = v128.load32_splat(x, 3 * QUANTIZED_STRIDE);
      e0 = i16x8.add(e0, dot8(t, w0));
      e1 = i16x8.add(e1, dot8(t, w1));
      x += 4;
      if (x >= end) break;
      w0 = v128.load(at, 64);
      w1 = v128.load(at, 80);
      t = v128.load32_splat(x);
      a0 = i16x8.add(a0, dot8(t, w0));
      a1 = i16x8.add(a1, dot8(t, w1));
      t = v128.load32_splat(x, QUANTIZED_STRIDE);
      b0 = i16x8.add(b0, dot8(t, w0));
      b1 = i16x8.add(b1, dot8(t, w1));
      t = v128.load32_splat(x, 2 * QUANTIZED_STRIDE);
      d0 = i16x8.add(d0, dot8(t, w0));
      d1 = i16x8.add(d1, dot8(t, w1));
      t = v128.load32_splat(x, 3 * QUANTIZED_STRIDE);
      e0 = i16x8.add(e0, dot8(t, w0));
      e1 = i16x8.add(e1, dot8(t, w1));
      x += 4;
      if (x >= end) break;
      w0 = v128.load(at, 96);
      w1 = v128.load(at, 112);
      t = v128.load32_splat(x);
      a0 = i16x8.add(a0, dot8(t, w0));
      a1 = i16x8.add(a1, dot8(t, w1));
      t = v128.load32_splat(x, QUANTIZED_STRIDE);
      b0 = i16x8.add(b0, dot8(t, w0));
      b1 = i16x8.add(b1, dot8(t, w1));
      t = v128.load32_splat(x, 2 * QUANTIZED_STRIDE);
      d0 = i16x8.add(d0, dot8(t, w0));
      d1 = i16x8.add(d1, dot8(t, w1));
      t = v128.load32_splat(x, 3 * QUANTIZED_STRIDE);
      e0 = i16x8.add(e0, dot8(t, w0));
      e1 = i16x8.add(e1, dot8(t, w1));
      x += 4;
      at += 128;
      if (x >= end) break;
    }
    const s0 = v128.load(parameters);
    const s1 = v128.load(parameters, 16);
    const o0 = v128.load(parameters, 32);
    const o1 = v128.load(parameters, 48);
    const one = ones();
    let q = v128.load32_splat(xs);
    let z = v128.load32_splat(xb);
    v128.store(c, addGroup(v128.load(c), i32x4.dot_i16x8_s(a0, one), s0, o0, q, z));
    v128.store(c, addGroup(v128.load(c, 16), i32x4.dot_i16x8_s(a1, one), s1, o1, q, z), 16);
    q = v128.load32_splat(xs, 4);
    z = v128.load32_splat(xb, 4);
    v128.store(c, addGroup(v128.load(c, 32), i32x4.dot_i16x8_s(b0, one), s0, o0, q, z), 32);
    v128.store(c, addGroup(v128.load(c, 48), i32x4.dot_i16x8_s(b1, one), s1, o1, q, z), 48);
    q = v128.load32_splat(xs, 8);
    z = v128.load32_splat(xb, 8);
    v128.store(c, addGroup(v128.load(c, 64), i32x4.dot_i16x8_s(d0, one), s0, o0, q, z), 64);
    v128.store(c, addGroup(v128.load(c, 80), i32x4.dot_i16x8_s(d1, one), s1, o1, q, z), 80);
    q = v128.load32_splat(xs, 12);
    z = v128.load32_splat(xb, 12);
    v128.store(c, addGroup(v128.load(c, 96), i32x4.dot_i16x8_s(e0, one), s0, o0, q, z), 96);
    v128.store(c, addGroup(v128.load(c, 112), i32x4.dot_i16x8_s(e1, one), s1, o1, q, z), 112);
    x += 4 * QUANTIZED_STRIDE - group;
    xs += 16;
    xb += 16;
    c += 128;
    left -= 4;
  } while (left >= 4);
}
