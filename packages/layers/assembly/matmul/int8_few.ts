// Int8 matmul kernels for 2 or a few more rows: each tile of two, three or four rows streams some panels,
// the first one from memory and the others from the second-level cache. Group by group, as with many rows
// (byte_tiles.ts), memory would be read in bursts: 1.1 to 1.3 times slower on a Zen 5. The tiles are
// written out again, since calling those of byte_tiles.ts per group would cost as much.
import { ptr } from '../shared/arguments';
import { ones } from '../shared/constants';
import { FEW_ROWS_OF_INT8, IntMatMulArg, MatMulArg, MOST_PANELS } from './args';
import { byteDot4 } from './byte_dots';
import { addDots } from './byte_tiles';
import { addGroup, finish, offsetOfCentre, parameters4, QUANTIZED_STRIDE } from './common';

/** Maximum bytes of panels that are streamed, to fit in the second-level cache. */
export const MOST_BYTES: usize = 272 << 10;

/** With more rows, contiguous values of x matter more than sequential reads of the weight. */
export function areFewOfInt8(rows: i32): bool {
  return rows > 1 && rows <= FEW_ROWS_OF_INT8;
}

/**
 * All rows of x by panels [begin, end), the first of which is at p. Q as in addDots. Scratch: the sums of
 * MOST_PANELS panels.
 */
export function fewRowsOfInt8<S, Q>(
  args: usize,
  p: usize,
  panelBytes: usize,
  begin: i32,
  end: i32,
  scratch: usize,
): void {
  const rows = ptr(args, MatMulArg.rows);
  const sumBytes = rows << 5;
  const most = min(MOST_PANELS, max(1, <i32>(MOST_BYTES / panelBytes)));
  while (begin < end) {
    const count = min(most, end - begin);
    memory.fill(scratch, 0, <usize>count * sumBytes);
    let m: usize = 0;
    while (m < rows) {
      const height = tileHeight<Q>(rows - m);
      for (let i: usize = 0; i < <usize>count; i++) {
        const sums = scratch + i * sumBytes + (m << 5);
        const panel = p + i * panelBytes;
        if (height === 4) fourRows<S>(args, panel, m, sums);
        else if (height === 3) threeRows<S, Q>(args, panel, m, sums);
        else twoRows<S, Q>(args, panel, m, sums);
      }
      m += height;
    }
    for (let i: i32 = 0; i < count; i++) {
      finish(args, scratch + <usize>i * sumBytes, 8, 0, <i32>rows, (begin + i) << 3);
    }
    p += <usize>count * panelBytes;
    begin += count;
  }
}

/**
 * Rows of the next tile if `left` remain, 2 or more: as many as fit in registers, but one row must not
 * remain.
 */
function tileHeight<Q>(left: usize): usize {
  const most: usize = sizeof<Q>() === 2 ? 4 : 3;
  if (left <= most) return left;
  return left === most + 1 ? left - 2 : most;
}

/** Rows m and m + 1 of x by the panel at p, added to the sums at c. */
function twoRows<S, Q>(args: usize, p: usize, m: usize, c: usize): void {
  const one = ones();
  const rows = ptr(args, MatMulArg.rows);
  const group = ptr(args, IntMatMulArg.group);
  const xStep = rows * QUANTIZED_STRIDE - group;
  let groups = ptr(args, MatMulArg.columns) / group;
  let x = ptr(args, MatMulArg.x) + m * QUANTIZED_STRIDE;
  let xs = ptr(args, IntMatMulArg.xScales) + (m << 2);
  let xb = ptr(args, IntMatMulArg.xSums) + (m << 2);
  let xc = ptr(args, IntMatMulArg.xCentres) + (m << 2);
  do {
    let a0 = v128.load32_splat(xc);
    let a1 = a0;
    let b0 = v128.load32_splat(xc, 4);
    let b1 = b0;
    const end = x + group;
    let y = x + QUANTIZED_STRIDE;
    do {
      const w0 = v128.load(p);
      const w1 = v128.load(p, 16);
      const w2 = v128.load(p, 32);
      const w3 = v128.load(p, 48);
      let t = v128.load32_splat(x);
      let u = v128.load32_splat(x, 4);
      a0 = addDots<Q>(a0, t, w0, u, w2, one);
      a1 = addDots<Q>(a1, t, w1, u, w3, one);
      t = v128.load32_splat(y);
      u = v128.load32_splat(y, 4);
      b0 = addDots<Q>(b0, t, w0, u, w2, one);
      b1 = addDots<Q>(b1, t, w1, u, w3, one);
      x += 8;
      y += 8;
      p += 64;
    } while (x < end);
    const s0 = parameters4<S>(p);
    const s1 = parameters4<S>(p + 8);
    const o0 = offsetOfCentre(s0, parameters4<S>(p + 16));
    const o1 = offsetOfCentre(s1, parameters4<S>(p + 24));
    p += 32;
    let q = v128.load32_splat(xs);
    let z = v128.load32_splat(xb);
    v128.store(c, addGroup(v128.load(c), a0, s0, o0, q, z));
    v128.store(c, addGroup(v128.load(c, 16), a1, s1, o1, q, z), 16);
    q = v128.load32_splat(xs, 4);
    z = v128.load32_splat(xb, 4);
    v128.store(c, addGroup(v128.load(c, 32), b0, s0, o0, q, z), 32);
    v128.store(c, addGroup(v128.load(c, 48), b1, s1, o1, q, z), 48);
    x += xStep;
    xs += rows << 2;
    xb += rows << 2;
    xc += rows << 2;
    groups--;
  } while (groups > 0);
}

/**
 * twoRows with three. The checks within the loop never end it; they keep the engine from loading all rows
 * at once.
 */
function threeRows<S, Q>(args: usize, p: usize, m: usize, c: usize): void {
  const one = ones();
  const rows = ptr(args, MatMulArg.rows);
  const group = ptr(args, IntMatMulArg.group);
  const xStep = rows * QUANTIZED_STRIDE - group;
  let groups = ptr(args, MatMulArg.columns) / group;
  let x = ptr(args, MatMulArg.x) + m * QUANTIZED_STRIDE;
  let xs = ptr(args, IntMatMulArg.xScales) + (m << 2);
  let xb = ptr(args, IntMatMulArg.xSums) + (m << 2);
  let xc = ptr(args, IntMatMulArg.xCentres) + (m << 2);
  do {
    let a0 = v128.load32_splat(xc);
    let a1 = a0;
    let b0 = v128.load32_splat(xc, 4);
    let b1 = b0;
    let d0 = v128.load32_splat(xc, 8);
    let d1 = d0;
    const end = x + group;
    let y = x + QUANTIZED_STRIDE;
    let r = y + QUANTIZED_STRIDE;
    while (true) {
      const w0 = v128.load(p);
      const w1 = v128.load(p, 16);
      const w2 = v128.load(p, 32);
      const w3 = v128.load(p, 48);
      let t = v128.load32_splat(x);
      let u = v128.load32_splat(x, 4);
      a0 = addDots<Q>(a0, t, w0, u, w2, one);
      a1 = addDots<Q>(a1, t, w1, u, w3, one);
      x += 8;
      if (y < x) break;
      t = v128.load32_splat(y);
      u = v128.load32_splat(y, 4);
      b0 = addDots<Q>(b0, t, w0, u, w2, one);
      b1 = addDots<Q>(b1, t, w1, u, w3, one);
      y += 8;
      if (r < y) break;
      t = v128.load32_splat(r);
      u = v128.load32_splat(r, 4);
      d0 = addDots<Q>(d0, t, w0, u, w2, one);
      d1 = addDots<Q>(d1, t, w1, u, w3, one);
      r += 8;
      p += 64;
      if (x >= end) break;
    }
    const s0 = parameters4<S>(p);
    const s1 = parameters4<S>(p + 8);
    const o0 = offsetOfCentre(s0, parameters4<S>(p + 16));
    const o1 = offsetOfCentre(s1, parameters4<S>(p + 24));
    p += 32;
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
    x += xStep;
    xs += rows << 2;
    xb += rows << 2;
    xc += rows << 2;
    groups--;
  } while (groups > 0);
}

/** twoRows with four, for engines with enough registers: those where byteDot4 is one instruction. */
function fourRows<S>(args: usize, p: usize, m: usize, c: usize): void {
  const rows = ptr(args, MatMulArg.rows);
  const group = ptr(args, IntMatMulArg.group);
  const xStep = rows * QUANTIZED_STRIDE - group;
  let groups = ptr(args, MatMulArg.columns) / group;
  let x = ptr(args, MatMulArg.x) + m * QUANTIZED_STRIDE;
  let xs = ptr(args, IntMatMulArg.xScales) + (m << 2);
  let xb = ptr(args, IntMatMulArg.xSums) + (m << 2);
  let xc = ptr(args, IntMatMulArg.xCentres) + (m << 2);
  do {
    let a0 = v128.load32_splat(xc);
    let a1 = a0;
    let b0 = v128.load32_splat(xc, 4);
    let b1 = b0;
    let d0 = v128.load32_splat(xc, 8);
    let d1 = d0;
    let e0 = v128.load32_splat(xc, 12);
    let e1 = e0;
    const end = x + group;
    do {
      const w0 = v128.load(p);
      const w1 = v128.load(p, 16);
      let t = v128.load32_splat(x);
      a0 = byteDot4(t, w0, a0);
      a1 = byteDot4(t, w1, a1);
      t = v128.load32_splat(x, QUANTIZED_STRIDE);
      b0 = byteDot4(t, w0, b0);
      b1 = byteDot4(t, w1, b1);
      t = v128.load32_splat(x, 2 * QUANTIZED_STRIDE);
      d0 = byteDot4(t, w0, d0);
      d1 = byteDot4(t, w1, d1);
      t = v128.load32_splat(x, 3 * QUANTIZED_STRIDE);
      e0 = byteDot4(t, w0, e0);
      e1 = byteDot4(t, w1, e1);
      x += 4;
      p += 32;
    } while (x < end);
    const s0 = parameters4<S>(p);
    const s1 = parameters4<S>(p + 8);
    const o0 = offsetOfCentre(s0, parameters4<S>(p + 16));
    const o1 = offsetOfCentre(s1, parameters4<S>(p + 24));
    p += 32;
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
    q = v128.load32_splat(xs, 12);
    z = v128.load32_splat(xb, 12);
    v128.store(c, addGroup(v128.load(c, 96), e0, s0, o0, q, z), 96);
    v128.store(c, addGroup(v128.load(c, 112), e1, s1, o1, q, z), 112);
    x += xStep;
    xs += rows << 2;
    xb += rows << 2;
    xc += rows << 2;
    groups--;
  } while (groups > 0);
}
