// The transposition of a matrix.
import { int, ptr } from '../shared/arguments';
import { TransposeArg } from './args';

/** y (columns, rows) = x (rows, columns) transposed. A unit is 4 rows. */
export function transpose(args: usize, begin: i32, end: i32): void {
  const rows = int(args, TransposeArg.rows);
  const columns = int(args, TransposeArg.columns);
  const xStride = (<usize>columns) << 2;
  const yStride = (<usize>rows) << 2;
  for (let unit = begin; unit < end; unit++) {
    const r = unit << 2;
    const x = ptr(args, TransposeArg.x) + <usize>r * xStride;
    const y = ptr(args, TransposeArg.y) + ((<usize>r) << 2);
    let c: i32 = 0;
    if (r + 4 <= rows) {
      for (; c + 4 <= columns; c += 4) {
        const from = x + ((<usize>c) << 2);
        const to = y + <usize>c * yStride;
        const v0 = v128.load(from);
        const v1 = v128.load(from + xStride);
        const v2 = v128.load(from + (xStride << 1));
        const v3 = v128.load(from + xStride * 3);
        const a = v128.shuffle<i32>(v0, v1, 0, 4, 1, 5);
        const b = v128.shuffle<i32>(v0, v1, 2, 6, 3, 7);
        const p = v128.shuffle<i32>(v2, v3, 0, 4, 1, 5);
        const q = v128.shuffle<i32>(v2, v3, 2, 6, 3, 7);
        v128.store(to, v128.shuffle<i64>(a, p, 0, 2));
        v128.store(to + yStride, v128.shuffle<i64>(a, p, 1, 3));
        v128.store(to + (yStride << 1), v128.shuffle<i64>(b, q, 0, 2));
        v128.store(to + yStride * 3, v128.shuffle<i64>(b, q, 1, 3));
      }
    }
    const count = min(4, rows - r);
    for (; c < columns; c++) {
      for (let i: i32 = 0; i < count; i++) {
        const value = load<f32>(x + <usize>i * xStride + ((<usize>c) << 2));
        store<f32>(y + <usize>c * yStride + ((<usize>i) << 2), value);
      }
    }
  }
}
