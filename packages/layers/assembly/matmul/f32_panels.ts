// Plain f32 matrices as panels of 32 rows, column after column.
import { int, ptr } from '../shared/arguments';
import { FloatMatMulArg, MatMulArg, PackPanelsArg } from './args';
import { copy32 } from './common';

/**
 * Columns of a panel that are multiplied at a time: with as many of some rows of x they fill the
 * first-level cache.
 */
export const COLUMN_BLOCK: usize = 192;

/** Packs a plain matrix into panels. A unit is a panel. */
export function packPanels(args: usize, begin: i32, end: i32): void {
  const stride = ptr(args, PackPanelsArg.stride) << 2;
  const transposed = int(args, PackPanelsArg.transposed) !== 0;
  const columns = ptr(args, PackPanelsArg.columns);
  for (let panel = begin; panel < end; panel++) {
    const rows = min(32, int(args, PackPanelsArg.outFeatures) - (panel << 5));
    const to = ptr(args, PackPanelsArg.panels) + <usize>panel * (columns << 7);
    if (transposed) {
      copyColumns(
        ptr(args, PackPanelsArg.matrix) + ((<usize>panel) << 7),
        stride,
        to,
        rows,
        columns,
      );
      continue;
    }
    for (let k: usize = 0; k < columns; k += COLUMN_BLOCK) {
      const count = min(COLUMN_BLOCK, columns - k);
      const from = ptr(args, PackPanelsArg.matrix) + ((<usize>panel) << 5) * stride + (k << 2);
      transposeRows(from, stride, to + (k << 7), rows, count);
    }
  }
}

/** The address of columns k ... of a panel; those of a plain matrix are first copied to `part`. */
export function columnsOf(args: usize, panel: i32, k: usize, count: usize, part: usize): usize {
  const stride = ptr(args, FloatMatMulArg.weightStride) << 2;
  const weight = ptr(args, MatMulArg.weight);
  if (stride === 0) return weight + <usize>panel * (ptr(args, MatMulArg.columns) << 7) + (k << 7);
  const width = min(32, int(args, MatMulArg.outFeatures) - (panel << 5));
  if (int(args, FloatMatMulArg.weightTransposed)) {
    copyColumns(weight + k * stride + ((<usize>panel) << 7), stride, part, width, count);
  } else {
    transposeRows(weight + ((<usize>panel) << 5) * stride + (k << 2), stride, part, width, count);
  }
  return part;
}

/** Rows of a plain matrix as columns of a panel; missing rows are 0. */
function transposeRows(from: usize, stride: usize, to: usize, rows: i32, count: usize): void {
  for (let n: i32 = 0; n < 32; n += 4) {
    const r0 = from + <usize>n * stride;
    const r1 = r0 + stride;
    const r2 = r1 + stride;
    const r3 = r2 + stride;
    const out = to + ((<usize>n) << 2);
    let k: usize = 0;
    if (n + 4 <= rows) {
      for (; k + 4 <= count; k += 4) {
        const at = k << 2;
        const a = v128.load(r0 + at);
        const b = v128.load(r1 + at);
        const c = v128.load(r2 + at);
        const d = v128.load(r3 + at);
        const ab0 = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
        const ab1 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
        const cd0 = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
        const cd1 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
        const o = out + (k << 7);
        v128.store(o, v128.shuffle<i64>(ab0, cd0, 0, 2));
        v128.store(o + 128, v128.shuffle<i64>(ab0, cd0, 1, 3));
        v128.store(o + 256, v128.shuffle<i64>(ab1, cd1, 0, 2));
        v128.store(o + 384, v128.shuffle<i64>(ab1, cd1, 1, 3));
      }
    }
    for (; k < count; k++) {
      const o = out + (k << 7);
      for (let i: i32 = 0; i < 4; i++) {
        const value = n + i < rows ? load<f32>(r0 + <usize>i * stride + (k << 2)) : <f32>0;
        store<f32>(o + ((<usize>i) << 2), value);
      }
    }
  }
}

/** Rows of a plain (columns, outFeatures) matrix as columns of a panel; missing values are 0. */
function copyColumns(from: usize, stride: usize, to: usize, width: i32, count: usize): void {
  const end = to + (count << 7);
  for (; to < end; to += 128) {
    if (width === 32) {
      copy32(from, to);
    } else {
      memory.copy(to, from, (<usize>width) << 2);
      memory.fill(to + ((<usize>width) << 2), 0, (<usize>(32 - width)) << 2);
    }
    from += stride;
  }
}
