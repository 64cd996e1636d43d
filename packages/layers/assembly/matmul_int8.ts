// Products by int8 weights: codes against int16 activations, integers within a group.
//
// A panel of 8 rows is a stream of groups: 4 bytes a row for each 4 columns, each a code of 0 to 255
// less 128, then 8 scales and 8 offsets of 16 bits.
import { int, madd, ptr } from './math';
import {
  addGroup,
  BLOCK,
  COLUMNS,
  F16_PARAMETERS,
  finish,
  GROUP,
  PANELS,
  parameters4,
  ROWS,
  WEIGHT,
  X,
  X_SCALES,
  X_SUMS,
} from './matmul';

export function matMulInt8(args: usize, begin: i32, end: i32, scratch: usize): void {
  if (int(args, F16_PARAMETERS)) units<i16>(args, begin, end, scratch);
  else units<u16>(args, begin, end, scratch);
}

function units<S>(args: usize, begin: i32, end: i32, scratch: usize): void {
  const panels = int(args, PANELS);
  const block = int(args, BLOCK);
  const rows = int(args, ROWS);
  const panelBytes = (ptr(args, COLUMNS) / ptr(args, GROUP)) * ((ptr(args, GROUP) << 3) + 32);
  for (let unit = begin; unit < end; unit++) {
    const panel = unit % panels;
    const m0 = (unit / panels) * block;
    const m1 = min(m0 + block, rows);
    const weight = ptr(args, WEIGHT) + <usize>panel * panelBytes;
    let m = m0;
    if (m1 - m0 >= 2) {
      m = m1 - ((m1 - m0) & 1);
      tiles<S>(args, weight, m0, m, scratch);
    }
    for (; m < m1; m++) row<S>(args, weight, m, scratch + ((<usize>(m - m0)) << 5));
    finish(args, scratch, 8, m0, m1, panel << 3);
  }
}

/** The offset of code 128, about which the stored codes stand. */
function offsetOfZero(scale: v128, offset: v128): v128 {
  return madd(scale, f32x4.splat(128), offset);
}

/** Sums of pairs of two rows' partial sums: 4 rows of i32. */
function pairs(a: v128, b: v128): v128 {
  return i32x4.add(v128.shuffle<i32>(a, b, 0, 2, 4, 6), v128.shuffle<i32>(a, b, 1, 3, 5, 7));
}

/** One row of x against a panel. */
function row<S>(args: usize, p: usize, m: i32, sums: usize): void {
  const rows = ptr(args, ROWS);
  const group = ptr(args, GROUP);
  const groups = ptr(args, COLUMNS) / group;
  const xStep = (rows - 1) * (group << 1);
  const codeBytes = group << 3;
  let x = ptr(args, X) + <usize>m * (group << 1);
  let xs = ptr(args, X_SCALES) + ((<usize>m) << 2);
  let xb = ptr(args, X_SUMS) + ((<usize>m) << 2);
  let f0 = f32x4.splat(0);
  let f1 = f32x4.splat(0);
  for (let g: usize = 0; g < groups; g++) {
    let a = i32x4.splat(0);
    let b = i32x4.splat(0);
    let c = i32x4.splat(0);
    let d = i32x4.splat(0);
    const codesEnd = p + codeBytes;
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
    } while (p < codesEnd);
    const q = v128.load32_splat(xs);
    const z = v128.load32_splat(xb);
    const s0 = parameters4<S>(p);
    const s1 = parameters4<S>(p + 8);
    f0 = addGroup(f0, pairs(a, b), s0, offsetOfZero(s0, parameters4<S>(p + 16)), q, z);
    f1 = addGroup(f1, pairs(c, d), s1, offsetOfZero(s1, parameters4<S>(p + 24)), q, z);
    p += 32;
    x += xStep;
    xs += rows << 2;
    xb += rows << 2;
  }
  v128.store(sums, f0);
  v128.store(sums, f1, 16);
}

/** Rows [m0, m1) of x, an even number, against a panel: group by group, its codes widened once. */
function tiles<S>(args: usize, p: usize, m0: i32, m1: i32, sums: usize): void {
  const rows = ptr(args, ROWS);
  const group = ptr(args, GROUP);
  const groups = ptr(args, COLUMNS) / group;
  const wide = sums + ((<usize>int(args, BLOCK)) << 5);
  memory.fill(sums, 0, (<usize>(m1 - m0)) << 5);
  for (let g: usize = 0; g < groups; g++) {
    const codeBytes = group << 3;
    for (let i: usize = 0; i < codeBytes; i += 16) {
      v128.store(wide + (i << 1), v128.load_ext<i8>(p + i));
      v128.store(wide + (i << 1), v128.load_ext<i8>(p + i, 8), 16);
    }
    p += codeBytes;
    const s0 = parameters4<S>(p);
    const s1 = parameters4<S>(p + 8);
    const o0 = offsetOfZero(s0, parameters4<S>(p + 16));
    const o1 = offsetOfZero(s1, parameters4<S>(p + 24));
    p += 32;
    const first = g * rows + <usize>m0;
    let x = ptr(args, X) + first * (group << 1);
    let xs = ptr(args, X_SCALES) + (first << 2);
    let xb = ptr(args, X_SUMS) + (first << 2);
    let c = sums;
    for (let m = m0; m < m1; m += 2) {
      tile(x, wide, group << 1, c, xs, xb, s0, s1, o0, o1);
      x += group << 2;
      xs += 8;
      xb += 8;
      c += 64;
    }
  }
}

function tile(
  x: usize,
  w: usize,
  rowBytes: usize,
  c: usize,
  xs: usize,
  xb: usize,
  s0: v128,
  s1: v128,
  o0: v128,
  o1: v128,
): void {
  let a0 = i32x4.splat(0);
  let a1 = i32x4.splat(0);
  let a2 = i32x4.splat(0);
  let a3 = i32x4.splat(0);
  let b0 = i32x4.splat(0);
  let b1 = i32x4.splat(0);
  let b2 = i32x4.splat(0);
  let b3 = i32x4.splat(0);
  const end = x + rowBytes;
  do {
    const t = v128.load64_splat(x);
    const u = v128.load64_splat(x + rowBytes);
    let v = v128.load(w);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v, t));
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(v, u));
    v = v128.load(w, 16);
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v, t));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(v, u));
    v = v128.load(w, 32);
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v, t));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(v, u));
    v = v128.load(w, 48);
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(v, t));
    b3 = i32x4.add(b3, i32x4.dot_i16x8_s(v, u));
    x += 8;
    w += 64;
  } while (x < end);
  const q = v128.load32_splat(xs);
  const z = v128.load32_splat(xb);
  v128.store(c, addGroup(v128.load(c), pairs(a0, a1), s0, o0, q, z));
  v128.store(c, addGroup(v128.load(c, 16), pairs(a2, a3), s1, o1, q, z), 16);
  const q1 = v128.load32_splat(xs, 4);
  const z1 = v128.load32_splat(xb, 4);
  v128.store(c, addGroup(v128.load(c, 32), pairs(b0, b1), s0, o0, q1, z1), 32);
  v128.store(c, addGroup(v128.load(c, 48), pairs(b2, b3), s1, o1, q1, z1), 48);
}
