// A group of columns of several rows of x by 8 rows of int8 values: tiles of two, three or four rows of
// sums.
import { ones } from '../shared/constants';
import { byteDot, byteDot4 } from './byte_dots';
import { addGroup, addToRow, QUANTIZED_STRIDE } from './common';

/**
 * sums + 8 columns of x, t and u, by 4 rows of the weight; with a Q of 2 bytes each four products are summed at once, see
 * byteDot4. `one` is ones().
 */
export function addDots<Q>(sums: v128, t: v128, w0: v128, u: v128, w1: v128, one: v128): v128 {
  if (sizeof<Q>() === 2) return byteDot4(u, w1, byteDot4(t, w0, sums));
  const dots = i16x8.add(byteDot(t, w0), byteDot(u, w1));
  return i32x4.add(sums, i32x4.dot_i16x8_s(dots, one));
}

/**
 * Adds a group to the sums of `count` rows of x, 2 or more. x, xs, xb and xc belong to the first row: its
 * quantised values, their scale and sum, and the initial values of its dot products.
 */
export function addTiles<Q>(
  x: usize,
  quantized: usize,
  group: usize,
  sums: usize,
  xs: usize,
  xb: usize,
  xc: usize,
  parameters: usize,
  count: usize,
): void {
  let m: usize = 0;
  if (sizeof<Q>() === 2) {
    // One remaining row, with four more, becomes three and two.
    const fours = (count & 3) === 1 ? (count >> 2) - 1 : count >> 2;
    if (fours > 0) foursOfRows(x, quantized, group, sums, xs, xb, xc, parameters, fours);
    m = fours << 2;
  }
  // Four remaining rows are two and two.
  const threes = (count - m) % 3 === 1 ? (count - m) / 3 - 1 : (count - m) / 3;
  if (threes > 0) {
    const r = m << 2;
    const xm = x + m * QUANTIZED_STRIDE;
    const c = sums + (m << 5);
    threesOfRows<Q>(xm, quantized, group, c, xs + r, xb + r, xc + r, parameters, threes);
    m += threes * 3;
  }
  for (; m < count; m += 2) {
    const r = m << 2;
    const c = sums + (m << 5);
    twoRows<Q>(x + m * QUANTIZED_STRIDE, quantized, group, c, xs + r, xb + r, xc + r, parameters);
  }
}

/** threesOfRows with four, for engines with enough registers: those where byteDot4 is one instruction. */
function foursOfRows(
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
    let e0 = v128.load32_splat(xc, 12);
    let e1 = e0;
    const end = x + group;
    let at = p;
    do {
      const w0 = v128.load(at);
      const w1 = v128.load(at, 16);
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
      at += 32;
    } while (x < end);
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
    q = v128.load32_splat(xs, 12);
    z = v128.load32_splat(xb, 12);
    v128.store(c, addGroup(v128.load(c, 96), e0, s0, o0, q, z), 96);
    v128.store(c, addGroup(v128.load(c, 112), e1, s1, o1, q, z), 112);
    x += 4 * QUANTIZED_STRIDE - group;
    xs += 16;
    xb += 16;
    xc += 16;
    c += 128;
    times--;
  } while (times > 0);
}

/**
 * Adds a group to the sums of `times` times three rows. The checks within the loop never end it; they keep
 * the engine from loading all rows at once, for which it has too few registers.
 */
function threesOfRows<Q>(
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
  const one = ones();
  do {
    let a0 = v128.load32_splat(xc);
    let a1 = a0;
    let b0 = v128.load32_splat(xc, 4);
    let b1 = b0;
    let d0 = v128.load32_splat(xc, 8);
    let d1 = d0;
    const end = x + group;
    let at = p;
    let y = x + QUANTIZED_STRIDE;
    let r = y + QUANTIZED_STRIDE;
    while (true) {
      const w0 = v128.load(at);
      const w1 = v128.load(at, 16);
      const w2 = v128.load(at, 32);
      const w3 = v128.load(at, 48);
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
    x += 3 * QUANTIZED_STRIDE - group;
    xs += 12;
    xb += 12;
    xc += 12;
    c += 96;
    times--;
  } while (times > 0);
}

function twoRows<Q>(
  x: usize,
  p: usize,
  group: usize,
  c: usize,
  xs: usize,
  xb: usize,
  xc: usize,
  parameters: usize,
): void {
  const one = ones();
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
  addToRow(c, a0, parameters, xs, xb);
  addToRow(c + 16, a1, parameters + 16, xs, xb);
  addToRow(c + 32, b0, parameters, xs + 4, xb + 4);
  addToRow(c + 48, b1, parameters + 16, xs + 4, xb + 4);
}
