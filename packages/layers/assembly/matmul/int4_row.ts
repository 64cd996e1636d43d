// One row of x by panels of an int4 weight.
import { ptr } from '../shared/arguments';
import { lowNibbles, ones } from '../shared/constants';
import { IntMatMulArg, MatMulArg } from './args';
import { byteDot, byteDot4 } from './byte_dots';
import { addGroup, parameters4, QUANTIZED_STRIDE } from './common';
import { PAGE, pageOf, prefetchPage } from './pages';

/** i8 t times u7 w, summed in pairs: 8 values of 16 bits. */
export function dot8(t: v128, w: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return byteDot(t, w);
  const even = i16x8.mul(i16x8.shr_s(i16x8.shl(t, 8), 8), v128.and(w, i16x8.splat(0xff)));
  return i16x8.add(even, i16x8.mul(i16x8.shr_s(t, 8), i16x8.shr_u(w, 8)));
}

/** sums + t and u times the low and the high nibbles of v; m15 is lowNibbles(). */
export function addNibbles<Q>(sums: v128, v: v128, t: v128, u: v128, m15: v128): v128 {
  const low = v128.and(v, m15);
  const high = v128.and(i16x8.shr_u(v, 4), m15);
  if (sizeof<Q>() === 2) return byteDot4(u, high, byteDot4(t, low, sums));
  return i16x8.add(sums, i16x8.add(dot8(t, low), dot8(u, high)));
}

/** The sums of a group in 32 bits. */
export function widened<Q>(sums: v128): v128 {
  return sizeof<Q>() === 2 ? sums : i32x4.dot_i16x8_s(sums, ones());
}

/**
 * One row of x against one or two panels (the number of bytes of N), `apart` bytes apart and read
 * interleaved. Pages are prefetched up to `prefetchLimit`.
 */
export function row<S, N, Q>(
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
  const valueBytes = group << 2;
  let x = ptr(args, MatMulArg.x) + <usize>m * QUANTIZED_STRIDE;
  let xs = ptr(args, IntMatMulArg.xScales) + ((<usize>m) << 2);
  let xb = ptr(args, IntMatMulArg.xSums) + ((<usize>m) << 2);
  const panels = ptr(args, MatMulArg.weight);
  let r = p + apart;
  let page = pageOf(panels, p);
  let rPage = pageOf(panels, r);
  const m15 = lowNibbles();
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
    let a0 = i32x4.splat(0);
    let a1 = i32x4.splat(0);
    let b0 = i32x4.splat(0);
    let b1 = i32x4.splat(0);
    const valuesEnd = p + valueBytes;
    do {
      const t = v128.load32_splat(x);
      const u = v128.load32_splat(x, 4);
      a0 = addNibbles<Q>(a0, v128.load(p), t, u, m15);
      a1 = addNibbles<Q>(a1, v128.load(p, 16), t, u, m15);
      p += 32;
      if (sizeof<N>() === 2) {
        b0 = addNibbles<Q>(b0, v128.load(r), t, u, m15);
        b1 = addNibbles<Q>(b1, v128.load(r, 16), t, u, m15);
        r += 32;
      }
      x += 8;
    } while (p < valuesEnd);
    const q = v128.load32_splat(xs);
    const z = v128.load32_splat(xb);
    let d0 = widened<Q>(a0);
    let d1 = widened<Q>(a1);
    f0 = addGroup(f0, d0, parameters4<S>(p), parameters4<S>(p + 16), q, z);
    f1 = addGroup(f1, d1, parameters4<S>(p + 8), parameters4<S>(p + 24), q, z);
    p += 32;
    if (sizeof<N>() === 2) {
      d0 = widened<Q>(b0);
      d1 = widened<Q>(b1);
      f2 = addGroup(f2, d0, parameters4<S>(r), parameters4<S>(r + 16), q, z);
      f3 = addGroup(f3, d1, parameters4<S>(r + 8), parameters4<S>(r + 24), q, z);
      r += 32;
    }
    x += xStep;
    xs += rows << 2;
    xb += rows << 2;
  }
  v128.store(sums, f0);
  v128.store(sums, f1, 16);
  if (sizeof<N>() === 2) {
    v128.store(sums, f2, 32);
    v128.store(sums, f3, 48);
  }
}
