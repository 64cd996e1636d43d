// Matmuls by int8 weights with relaxed SIMD: byte products, with the same integers as in int8.ts.
//
// The products of 8 columns are summed in 16 bits before widening, two values per row. That does not
// overflow, since x is quantised for it (see largestFour in quantize.ts). If the engine sums four at once,
// in 32 bits, no such bound is needed, and x has more steps.
import { int, ptr } from '../shared/arguments';
import { ones } from '../shared/constants';
import { IntMatMulArg, MatMulArg } from './args';
import { addDots, addTiles } from './byte_tiles';
import { addGroup, offsetOfCentre, parameters4, QUANTIZED_STRIDE, widenCentred } from './common';
import { PAGE, pageOf, prefetchPage } from './pages';

/**
 * One row of x against one or two panels (the number of bytes of N), `apart` bytes apart and read
 * interleaved. Pages are prefetched up to `prefetchLimit`. Q as in addDots.
 */
export function byteRow<S, N, Q>(
  args: usize,
  p: usize,
  apart: usize,
  prefetchLimit: usize,
  m: i32,
  sums: usize,
): void {
  const rows = ptr(args, MatMulArg.rows);
  const group = ptr(args, IntMatMulArg.group);
  const groups = ptr(args, MatMulArg.columns) / group;
  const xStep = rows * QUANTIZED_STRIDE - group;
  const valueBytes = group << 3;
  let x = ptr(args, MatMulArg.x) + <usize>m * QUANTIZED_STRIDE;
  let xs = ptr(args, IntMatMulArg.xScales) + ((<usize>m) << 2);
  let xb = ptr(args, IntMatMulArg.xSums) + ((<usize>m) << 2);
  let xc = ptr(args, IntMatMulArg.xCentres) + ((<usize>m) << 2);
  const panels = ptr(args, MatMulArg.weight);
  let r = p + apart;
  let page = pageOf(panels, p);
  let rPage = pageOf(panels, r);
  const one = ones();
  let f0 = f32x4.splat(0);
  let f1 = f32x4.splat(0);
  let f2 = f32x4.splat(0);
  let f3 = f32x4.splat(0);
  for (let g: usize = 0; g < groups; g++) {
    if (p >= page) {
      page += PAGE;
      prefetchPage(page, panels, prefetchLimit);
    }
    if (sizeof<N>() === 2 && r >= rPage) {
      rPage += PAGE;
      prefetchPage(rPage, panels, prefetchLimit);
    }
    let a = v128.load32_splat(xc);
    let b = a;
    let c = a;
    let d = a;
    const valuesEnd = p + valueBytes;
    do {
      const t = v128.load32_splat(x);
      const u = v128.load32_splat(x, 4);
      a = addDots<Q>(a, t, v128.load(p), u, v128.load(p, 32), one);
      b = addDots<Q>(b, t, v128.load(p, 16), u, v128.load(p, 48), one);
      p += 64;
      if (sizeof<N>() === 2) {
        c = addDots<Q>(c, t, v128.load(r), u, v128.load(r, 32), one);
        d = addDots<Q>(d, t, v128.load(r, 16), u, v128.load(r, 48), one);
        r += 64;
      }
      x += 8;
    } while (p < valuesEnd);
    const q = v128.load32_splat(xs);
    const z = v128.load32_splat(xb);
    let s0 = parameters4<S>(p);
    let s1 = parameters4<S>(p + 8);
    f0 = addGroup(f0, a, s0, offsetOfCentre(s0, parameters4<S>(p + 16)), q, z);
    f1 = addGroup(f1, b, s1, offsetOfCentre(s1, parameters4<S>(p + 24)), q, z);
    p += 32;
    if (sizeof<N>() === 2) {
      s0 = parameters4<S>(r);
      s1 = parameters4<S>(r + 8);
      f2 = addGroup(f2, c, s0, offsetOfCentre(s0, parameters4<S>(r + 16)), q, z);
      f3 = addGroup(f3, d, s1, offsetOfCentre(s1, parameters4<S>(r + 24)), q, z);
      r += 32;
    }
    x += xStep;
    xs += rows << 2;
    xb += rows << 2;
    xc += rows << 2;
  }
  v128.store(sums, f0);
  v128.store(sums, f1, 16);
  if (sizeof<N>() === 2) {
    v128.store(sums, f2, 32);
    v128.store(sums, f3, 48);
  }
}

/** Rows [m0, m1) of x, 2 or more, against a panel, group by group. */
export function byteTiles<S, Q>(args: usize, p: usize, m0: i32, m1: i32, sums: usize): void {
  const rows = ptr(args, MatMulArg.rows);
  const group = ptr(args, IntMatMulArg.group);
  const groups = ptr(args, MatMulArg.columns) / group;
  const parameters = sums + ((<usize>int(args, MatMulArg.block)) << 5);
  const count = <usize>(m1 - m0);
  memory.fill(sums, 0, count << 5);
  for (let g: usize = 0; g < groups; g++) {
    const quantized = p;
    p += group << 3;
    widenCentred<S>(p, parameters);
    p += 32;
    const first = g * rows + <usize>m0;
    const x = ptr(args, MatMulArg.x) + first * QUANTIZED_STRIDE;
    const xs = ptr(args, IntMatMulArg.xScales) + (first << 2);
    const xb = ptr(args, IntMatMulArg.xSums) + (first << 2);
    const xc = ptr(args, IntMatMulArg.xCentres) + (first << 2);
    addTiles<Q>(x, quantized, group, sums, xs, xb, xc, parameters, count);
  }
}
