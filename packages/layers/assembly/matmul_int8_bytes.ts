// Products by int8 weights where SIMD is relaxed: bytes times bytes, the same integers as in matmul_int8.ts.
//
// The products of 8 columns are summed in 16 bits before they are widened, two numbers a row: that fits, as x's codes
// are chosen for it (see largestFour in quantize.ts).
import { byteDot } from './bytes';
import { int, ptr } from './math';
import {
  addGroup,
  addToRow,
  BLOCK,
  CODE_STRIDE,
  COLUMNS,
  GROUP,
  offsetOfCentre,
  parameters4,
  ROWS,
  WEIGHT,
  widenCentred,
  X,
  X_CENTRES,
  X_SCALES,
  X_SUMS,
} from './matmul';
import { askForPage, PAGE, pageOf } from './pages';

/** sums + 8 columns of x, t and u, by 4 rows of the weight. */
function addDots(sums: v128, t: v128, w0: v128, u: v128, w1: v128): v128 {
  const dots = i16x8.add(byteDot(t, w0), byteDot(u, w1));
  return i32x4.add(sums, i32x4.dot_i16x8_s(dots, i16x8.splat(1)));
}

/**
 * One row of x against as many panels as N has bytes, 1 or 2, which are `apart` bytes apart and read in turns. Their
 * pages are asked for up to `asked`.
 */
export function byteRow<S, N>(
  args: usize,
  p: usize,
  apart: usize,
  asked: usize,
  m: i32,
  sums: usize,
): void {
  const rows = ptr(args, ROWS);
  const group = ptr(args, GROUP);
  const groups = ptr(args, COLUMNS) / group;
  const xStep = rows * CODE_STRIDE - group;
  const codeBytes = group << 3;
  let x = ptr(args, X) + <usize>m * CODE_STRIDE;
  let xs = ptr(args, X_SCALES) + ((<usize>m) << 2);
  let xb = ptr(args, X_SUMS) + ((<usize>m) << 2);
  let xc = ptr(args, X_CENTRES) + ((<usize>m) << 2);
  const panels = ptr(args, WEIGHT);
  let r = p + apart;
  let page = pageOf(panels, p);
  let rPage = pageOf(panels, r);
  let f0 = f32x4.splat(0);
  let f1 = f32x4.splat(0);
  let f2 = f32x4.splat(0);
  let f3 = f32x4.splat(0);
  for (let g: usize = 0; g < groups; g++) {
    if (p >= page) {
      page += PAGE;
      askForPage(page, panels, asked);
    }
    if (sizeof<N>() === 2 && r >= rPage) {
      rPage += PAGE;
      askForPage(rPage, panels, asked);
    }
    let a = v128.load32_splat(xc);
    let b = a;
    let c = a;
    let d = a;
    const codesEnd = p + codeBytes;
    do {
      const t = v128.load32_splat(x);
      const u = v128.load32_splat(x, 4);
      a = addDots(a, t, v128.load(p), u, v128.load(p, 32));
      b = addDots(b, t, v128.load(p, 16), u, v128.load(p, 48));
      p += 64;
      if (sizeof<N>() === 2) {
        c = addDots(c, t, v128.load(r), u, v128.load(r, 32));
        d = addDots(d, t, v128.load(r, 16), u, v128.load(r, 48));
        r += 64;
      }
      x += 8;
    } while (p < codesEnd);
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
export function byteTiles<S>(args: usize, p: usize, m0: i32, m1: i32, sums: usize): void {
  const rows = ptr(args, ROWS);
  const group = ptr(args, GROUP);
  const groups = ptr(args, COLUMNS) / group;
  const parameters = sums + ((<usize>int(args, BLOCK)) << 5);
  const count = <usize>(m1 - m0);
  memory.fill(sums, 0, count << 5);
  for (let g: usize = 0; g < groups; g++) {
    const codes = p;
    p += group << 3;
    widenCentred<S>(p, parameters);
    p += 32;
    const first = g * rows + <usize>m0;
    const x = ptr(args, X) + first * CODE_STRIDE;
    const xs = ptr(args, X_SCALES) + (first << 2);
    const xb = ptr(args, X_SUMS) + (first << 2);
    const xc = ptr(args, X_CENTRES) + (first << 2);
    // Four that are left are two and two.
    const threes = count % 3 === 1 ? count / 3 - 1 : count / 3;
    if (threes > 0) threesOfRows(x, codes, group, sums, xs, xb, xc, parameters, threes);
    for (let m = threes * 3; m < count; m += 2) {
      const r = m << 2;
      const c = sums + (m << 5);
      twoRows(x + m * CODE_STRIDE, codes, group, c, xs + r, xb + r, xc + r, parameters);
    }
  }
}

/**
 * Adds a group to the sums of `times` times three rows. The checks within the loop, which never end it, keep the
 * engine from loading for all rows at once, more than it has registers for.
 */
function threesOfRows(
  x: usize,
  p: usize,
  group: usize,
  c: usize,
  xs: usize,
  xb: usize,
  xc: usize,
  parameters: usize,
  times: usize,
): void {
  do {
    let a0 = v128.load32_splat(xc);
    let a1 = a0;
    let b0 = v128.load32_splat(xc, 4);
    let b1 = b0;
    let d0 = v128.load32_splat(xc, 8);
    let d1 = d0;
    const end = x + group;
    let at = p;
    let y = x + CODE_STRIDE;
    let r = y + CODE_STRIDE;
    while (true) {
      const w0 = v128.load(at);
      const w1 = v128.load(at, 16);
      const w2 = v128.load(at, 32);
      const w3 = v128.load(at, 48);
      let t = v128.load32_splat(x);
      let u = v128.load32_splat(x, 4);
      a0 = addDots(a0, t, w0, u, w2);
      a1 = addDots(a1, t, w1, u, w3);
      x += 8;
      if (y < x) break;
      t = v128.load32_splat(y);
      u = v128.load32_splat(y, 4);
      b0 = addDots(b0, t, w0, u, w2);
      b1 = addDots(b1, t, w1, u, w3);
      y += 8;
      if (r < y) break;
      t = v128.load32_splat(r);
      u = v128.load32_splat(r, 4);
      d0 = addDots(d0, t, w0, u, w2);
      d1 = addDots(d1, t, w1, u, w3);
      r += 8;
      at += 64;
      if (x >= end) break;
    }
    const s0 = v128.load(parameters);
    const s1 = v128.load(parameters, 16);
    const o0 = v128.load(parameters, 32);
    const o1 = v128.load(parameters, 48);
    let q = v128.load32_splat(xs);
    let z = v128.load32_splat(xb);
    v128.store(c, addGroup(v128.load(c), a0, s0, o0, q, z));
    v128.store(c, addGroup(v128.load(c, 16), a1, s1, o1, q, z), 16);
    q = v128.load32_splat(xs, 4);
    z = v128.load32_splat(xb, 4);
    v128.store(c, addGroup(v128.load(c, 32), b0, s0, o0, q, z), 32);
    v128.store(c, addGroup(v128.load(c, 48), b1, s1, o1, q, z), 48);
    q = v128.load32_splat(xs, 8);
    z = v128.load32_splat(xb, 8);
    v128.store(c, addGroup(v128.load(c, 64), d0, s0, o0, q, z), 64);
    v128.store(c, addGroup(v128.load(c, 80), d1, s1, o1, q, z), 80);
    x += 3 * CODE_STRIDE - group;
    xs += 12;
    xb += 12;
    xc += 12;
    c += 96;
    times--;
  } while (times > 0);
}

function twoRows(
  x: usize,
  p: usize,
  group: usize,
  c: usize,
  xs: usize,
  xb: usize,
  xc: usize,
  parameters: usize,
): void {
  let a0 = v128.load32_splat(xc);
  let a1 = a0;
  let b0 = v128.load32_splat(xc, 4);
  let b1 = b0;
  const end = x + group;
  let y = x + CODE_STRIDE;
  do {
    const w0 = v128.load(p);
    const w1 = v128.load(p, 16);
    const w2 = v128.load(p, 32);
    const w3 = v128.load(p, 48);
    let t = v128.load32_splat(x);
    let u = v128.load32_splat(x, 4);
    a0 = addDots(a0, t, w0, u, w2);
    a1 = addDots(a1, t, w1, u, w3);
    t = v128.load32_splat(y);
    u = v128.load32_splat(y, 4);
    b0 = addDots(b0, t, w0, u, w2);
    b1 = addDots(b1, t, w1, u, w3);
    x += 8;
    y += 8;
    p += 64;
  } while (x < end);
  addToRow(c, a0, parameters, xs, xb);
  addToRow(c + 16, a1, parameters + 16, xs, xb);
  addToRow(c + 32, b0, parameters, xs + 4, xb + 4);
  addToRow(c + 48, b1, parameters + 16, xs + 4, xb + 4);
}
