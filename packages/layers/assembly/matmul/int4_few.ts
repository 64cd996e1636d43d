// Int4 matmul kernels for 2 or a few more rows of int8 activations: each pair of rows streams some panels,
// the first one from memory and the others from the second-level cache. More rows share unpacked groups,
// see int4.ts.
import { int, ptr } from '../shared/arguments';
import { lowNibbles } from '../shared/constants';
import { FEW_ROWS_OF_INT4, IntMatMulArg, MatMulArg, MOST_PANELS } from './args';
import { addGroup, finish, parameters4, QUANTIZED_STRIDE } from './common';
import { addNibbles, row, widened } from './int4_row';
import { MOST_BYTES } from './int8_few';

/** With more rows, unpacking a panel once is faster. */
export function areFewOfInt4(rows: i32): bool {
  return rows > 1 && rows <= FEW_ROWS_OF_INT4;
}

/**
 * All rows of x by panels [begin, end), the first of which is at p. Scratch: the sums of MOST_PANELS
 * panels.
 */
export function fewRowsOfInt4<S, Q>(
  args: usize,
  p: usize,
  panelBytes: usize,
  begin: i32,
  end: i32,
  scratch: usize,
): void {
  const rows = int(args, MatMulArg.rows);
  const sumBytes = (<usize>rows) << 5;
  const most = min(MOST_PANELS, max(1, <i32>(MOST_BYTES / panelBytes)));
  while (begin < end) {
    const count = min(most, end - begin);
    for (let m: i32 = 0; m < rows; m += 2) {
      for (let i: usize = 0; i < <usize>count; i++) {
        const sums = scratch + i * sumBytes + ((<usize>m) << 5);
        const panel = p + i * panelBytes;
        if (m + 1 < rows) twoRows<S, Q>(args, panel, m, sums);
        else row<S, u8, Q>(args, panel, 0, 0, m, sums);
      }
    }
    for (let i: i32 = 0; i < count; i++) {
      finish(args, scratch + <usize>i * sumBytes, 8, 0, rows, (begin + i) << 3);
    }
    p += <usize>count * panelBytes;
    begin += count;
  }
}

/** Rows m and m + 1 of x against a panel. */
function twoRows<S, Q>(args: usize, p: usize, m: i32, sums: usize): void {
  const rows = ptr(args, MatMulArg.rows);
  const group = ptr(args, IntMatMulArg.group);
  const groups = ptr(args, MatMulArg.columns) / group;
  const xStep = rows * QUANTIZED_STRIDE - group;
  const valueBytes = group << 2;
  let x = ptr(args, MatMulArg.x) + <usize>m * QUANTIZED_STRIDE;
  let xs = ptr(args, IntMatMulArg.xScales) + ((<usize>m) << 2);
  let xb = ptr(args, IntMatMulArg.xSums) + ((<usize>m) << 2);
  const m15 = lowNibbles();
  let f0 = f32x4.splat(0);
  let f1 = f32x4.splat(0);
  let f2 = f32x4.splat(0);
  let f3 = f32x4.splat(0);
  for (let g: usize = 0; g < groups; g++) {
    let a0 = i32x4.splat(0);
    let a1 = i32x4.splat(0);
    let b0 = i32x4.splat(0);
    let b1 = i32x4.splat(0);
    const valuesEnd = p + valueBytes;
    do {
      const t = v128.load32_splat(x);
      const u = v128.load32_splat(x, 4);
      const r = v128.load32_splat(x, QUANTIZED_STRIDE);
      const s = v128.load32_splat(x, QUANTIZED_STRIDE + 4);
      let v = v128.load(p);
      a0 = addNibbles<Q>(a0, v, t, u, m15);
      b0 = addNibbles<Q>(b0, v, r, s, m15);
      v = v128.load(p, 16);
      a1 = addNibbles<Q>(a1, v, t, u, m15);
      b1 = addNibbles<Q>(b1, v, r, s, m15);
      p += 32;
      x += 8;
    } while (p < valuesEnd);
    const s0 = parameters4<S>(p);
    const s1 = parameters4<S>(p + 8);
    const o0 = parameters4<S>(p + 16);
    const o1 = parameters4<S>(p + 24);
    p += 32;
    let q = v128.load32_splat(xs);
    let z = v128.load32_splat(xb);
    f0 = addGroup(f0, widened<Q>(a0), s0, o0, q, z);
    f1 = addGroup(f1, widened<Q>(a1), s1, o1, q, z);
    q = v128.load32_splat(xs, 4);
    z = v128.load32_splat(xb, 4);
    f2 = addGroup(f2, widened<Q>(b0), s0, o0, q, z);
    f3 = addGroup(f3, widened<Q>(b1), s1, o1, q, z);
    x += xStep;
    xs += rows << 2;
    xb += rows << 2;
  }
  v128.store(sums, f0);
  v128.store(sums, f1, 16);
  v128.store(sums, f2, 32);
  v128.store(sums, f3, 48);
}
