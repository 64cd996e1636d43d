// Matmuls by int8 weights: quantised values times integer activations, with integer sums within a group.
//
// A panel of 8 rows is a stream of groups: 4 bytes per row for each 4 columns, each a value of 0 to 255 or
// one less 128 (see signFlip), then 8 scales and 8 offsets of 16 bits. This file has the 16-bit products
// for engines without relaxed SIMD, where values are stored less 128. Byte products are in int8_bytes.ts,
// those with few rows in int8_few.ts. The integer results are the same.
import { int, ptr } from '../shared/arguments';
import { IntMatMulArg, MatMulArg, QuantizedKind } from './args';
import {
  addGroup,
  addToRow,
  finish,
  offsetOfCentre,
  parameters4,
  prefetchLimitOf,
  QUANTIZED_STRIDE,
  readsTwoStreams,
  widenCentred,
} from './common';
import { byteRow, byteTiles } from './int8_bytes';
import { areFewOfInt8, fewRowsOfInt8 } from './int8_few';
import { PAGE, pageOf, prefetchPage } from './pages';

/** Stride between the quantised values of two rows in a group. */
const QUANTIZED_BYTES: usize = QUANTIZED_STRIDE * 2;

export function matMulInt8(args: usize, begin: i32, end: i32, scratch: usize): void {
  const whole = ASC_FEATURE_RELAXED_SIMD && int(args, IntMatMulArg.hasInt8Dot4) !== 0;
  if (int(args, IntMatMulArg.f16Parameters)) {
    if (whole) units<i16, u16>(args, begin, end, scratch);
    else units<i16, u8>(args, begin, end, scratch);
  } else {
    if (whole) units<u16, u16>(args, begin, end, scratch);
    else units<u16, u8>(args, begin, end, scratch);
  }
}

function units<S, Q>(args: usize, begin: i32, end: i32, scratch: usize): void {
  const panels = int(args, MatMulArg.panels);
  const block = int(args, MatMulArg.block);
  const rows = int(args, MatMulArg.rows);
  const panelBytes =
    (ptr(args, MatMulArg.columns) / ptr(args, IntMatMulArg.group)) *
    ((ptr(args, IntMatMulArg.group) << 3) + 32);
  const prefetchLimit = prefetchLimitOf(
    args,
    ptr(args, MatMulArg.weight) + <usize>panels * panelBytes,
  );
  let unit = begin;
  if (rows === 1 && int(args, IntMatMulArg.xKind) === QuantizedKind.I8 && readsTwoStreams(args)) {
    const half = (end - begin) >> 1;
    const apart = <usize>half * panelBytes;
    for (; unit < begin + half; unit++) {
      const weight = ptr(args, MatMulArg.weight) + <usize>unit * panelBytes;
      byteRow<S, u16, Q>(args, weight, apart, prefetchLimit, 0, scratch);
      finish(args, scratch, 8, 0, 1, unit << 3);
      finish(args, scratch + 32, 8, 0, 1, (unit + half) << 3);
    }
    unit += half;
  }
  if (int(args, IntMatMulArg.xKind) === QuantizedKind.I8 && areFewOfInt8(rows)) {
    fewRowsOfInt8<S, Q>(
      args,
      ptr(args, MatMulArg.weight) + <usize>unit * panelBytes,
      panelBytes,
      unit,
      end,
      scratch,
    );
    return;
  }
  for (; unit < end; unit++) {
    const panel = unit % panels;
    const m0 = (unit / panels) * block;
    const m1 = min(m0 + block, rows);
    const weight = ptr(args, MatMulArg.weight) + <usize>panel * panelBytes;
    const several = m1 - m0 >= 2;
    if (int(args, IntMatMulArg.xKind) === QuantizedKind.I8) {
      if (several) byteTiles<S, Q>(args, weight, m0, m1, scratch);
      else byteRow<S, u8, Q>(args, weight, 0, prefetchLimit, m0, scratch);
    } else {
      if (several) tiles<S>(args, weight, m0, m1, scratch);
      else row<S>(args, weight, prefetchLimit, m0, scratch);
    }
    finish(args, scratch, 8, m0, m1, panel << 3);
  }
}

/** Pairwise sums of two rows' partial sums: 4 rows of i32. */
function pairs(a: v128, b: v128): v128 {
  return i32x4.add(v128.shuffle<i32>(a, b, 0, 2, 4, 6), v128.shuffle<i32>(a, b, 1, 3, 5, 7));
}

/** One row of x against a panel. */
function row<S>(args: usize, p: usize, prefetchLimit: usize, m: i32, sums: usize): void {
  const rows = ptr(args, MatMulArg.rows);
  const group = ptr(args, IntMatMulArg.group);
  const groups = ptr(args, MatMulArg.columns) / group;
  const xStep = rows * QUANTIZED_BYTES - (group << 1);
  const valueBytes = group << 3;
  let x = ptr(args, MatMulArg.x) + <usize>m * QUANTIZED_BYTES;
  let xs = ptr(args, IntMatMulArg.xScales) + ((<usize>m) << 2);
  let xb = ptr(args, IntMatMulArg.xSums) + ((<usize>m) << 2);
  const panels = ptr(args, MatMulArg.weight);
  let page = pageOf(panels, p);
  let f0 = f32x4.splat(0);
  let f1 = f32x4.splat(0);
  for (let g: usize = 0; g < groups; g++) {
    if (p >= page) {
      page += PAGE;
      prefetchPage(page, panels, prefetchLimit);
    }
    let a = i32x4.splat(0);
    let b = i32x4.splat(0);
    let c = i32x4.splat(0);
    let d = i32x4.splat(0);
    const valuesEnd = p + valueBytes;
    do {
      let t = v128.load64_splat(x);
      a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p), t));
      b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 8), t));
      c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 16), t));
      d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 24), t));
      t = v128.load64_splat(x, 8);
      a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 32), t));
      b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 40), t));
      c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 48), t));
      d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 56), t));
      p += 64;
      x += 16;
    } while (p < valuesEnd);
    const q = v128.load32_splat(xs);
    const z = v128.load32_splat(xb);
    const s0 = parameters4<S>(p);
    const s1 = parameters4<S>(p + 8);
    f0 = addGroup(f0, pairs(a, b), s0, offsetOfCentre(s0, parameters4<S>(p + 16)), q, z);
    f1 = addGroup(f1, pairs(c, d), s1, offsetOfCentre(s1, parameters4<S>(p + 24)), q, z);
    p += 32;
    x += xStep;
    xs += rows << 2;
    xb += rows << 2;
  }
  v128.store(sums, f0);
  v128.store(sums, f1, 16);
}

/** Rows [m0, m1) of x, 2 or more, against a panel: group by group, widening its values once. */
function tiles<S>(args: usize, p: usize, m0: i32, m1: i32, sums: usize): void {
  const rows = ptr(args, MatMulArg.rows);
  const group = ptr(args, IntMatMulArg.group);
  const groups = ptr(args, MatMulArg.columns) / group;
  const parameters = sums + ((<usize>int(args, MatMulArg.block)) << 5);
  const wide = parameters + 64;
  memory.fill(sums, 0, (<usize>(m1 - m0)) << 5);
  for (let g: usize = 0; g < groups; g++) {
    const valueBytes = group << 3;
    for (let i: usize = 0; i < valueBytes; i += 16) {
      v128.store(wide + (i << 1), v128.load_ext<i8>(p + i));
      v128.store(wide + (i << 1), v128.load_ext<i8>(p + i, 8), 16);
    }
    p += valueBytes;
    widenCentred<S>(p, parameters);
    p += 32;
    const first = g * rows + <usize>m0;
    let x = ptr(args, MatMulArg.x) + first * QUANTIZED_BYTES;
    let xs = ptr(args, IntMatMulArg.xScales) + (first << 2);
    let xb = ptr(args, IntMatMulArg.xSums) + (first << 2);
    let c = sums;
    let left = m1 - m0;
    // 3 rows at a time; 4 remaining rows are 2 and 2.
    for (; left > 4 || left === 3; left -= 3) {
      threeRows(x, wide, group << 1, c, xs, xb, parameters);
      threeRows(x, wide + 32, group << 1, c + 16, xs, xb, parameters + 16);
      x += 3 * QUANTIZED_BYTES;
      xs += 12;
      xb += 12;
      c += 96;
    }
    for (; left > 0; left -= 2) {
      twoRows(x, wide, group << 1, c, xs, xb, parameters);
      twoRows(x, wide + 32, group << 1, c + 16, xs, xb, parameters + 16);
      x += 2 * QUANTIZED_BYTES;
      xs += 8;
      xb += 8;
      c += 64;
    }
  }
}

/** 3 rows against 4 of the panel's: 6 sums fit in registers beside the loop's loads. */
function threeRows(
  x: usize,
  w: usize,
  rowBytes: usize,
  c: usize,
  xs: usize,
  xb: usize,
  parameters: usize,
): void {
  let a0 = i32x4.splat(0);
  let a1 = i32x4.splat(0);
  let b0 = i32x4.splat(0);
  let b1 = i32x4.splat(0);
  let d0 = i32x4.splat(0);
  let d1 = i32x4.splat(0);
  const end = x + rowBytes;
  do {
    const w0 = v128.load(w);
    const w1 = v128.load(w, 16);
    let t = v128.load64_splat(x);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(w0, t));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(w1, t));
    t = v128.load64_splat(x, QUANTIZED_BYTES);
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(w0, t));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(w1, t));
    t = v128.load64_splat(x, 2 * QUANTIZED_BYTES);
    d0 = i32x4.add(d0, i32x4.dot_i16x8_s(w0, t));
    d1 = i32x4.add(d1, i32x4.dot_i16x8_s(w1, t));
    x += 8;
    w += 64;
  } while (x < end);
  addToRow(c, pairs(a0, a1), parameters, xs, xb);
  addToRow(c + 32, pairs(b0, b1), parameters, xs + 4, xb + 4);
  addToRow(c + 64, pairs(d0, d1), parameters, xs + 8, xb + 8);
}

function twoRows(
  x: usize,
  w: usize,
  rowBytes: usize,
  c: usize,
  xs: usize,
  xb: usize,
  parameters: usize,
): void {
  let a0 = i32x4.splat(0);
  let a1 = i32x4.splat(0);
  let b0 = i32x4.splat(0);
  let b1 = i32x4.splat(0);
  const end = x + rowBytes;
  do {
    const w0 = v128.load(w);
    const w1 = v128.load(w, 16);
    let t = v128.load64_splat(x);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(w0, t));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(w1, t));
    t = v128.load64_splat(x, QUANTIZED_BYTES);
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(w0, t));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(w1, t));
    x += 8;
    w += 64;
  } while (x < end);
  addToRow(c, pairs(a0, a1), parameters, xs, xb);
  addToRow(c + 32, pairs(b0, b1), parameters, xs + 4, xb + 4);
}
