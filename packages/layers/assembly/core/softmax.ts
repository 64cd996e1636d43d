// Softmax and maximum of rows.
import { int, ptr } from '../shared/arguments';
import { exp4, load4, store4, sumLanes } from '../shared/math';
import { RowsArg } from './args';

/** A unit is a row. */
export function softmax(args: usize, begin: i32, end: i32): void {
  const columns = int(args, RowsArg.columns);
  const rowBytes = (<usize>columns) << 2;
  for (let row = begin; row < end; row++) {
    softmaxRow(
      ptr(args, RowsArg.x) + <usize>row * rowBytes,
      ptr(args, RowsArg.y) + <usize>row * rowBytes,
      columns,
      1,
    );
  }
}

/** A unit is a row. NaN counts as the maximum. */
export function maxOfRows(args: usize, begin: i32, end: i32): void {
  const columns = int(args, RowsArg.columns);
  for (let row = begin; row < end; row++) {
    const top = largest(ptr(args, RowsArg.x) + <usize>row * ((<usize>columns) << 2), columns);
    store<f32>(ptr(args, RowsArg.y) + ((<usize>row) << 2), top);
  }
}

/** y = softmax(x) factor. y first stores the exponentials. */
export function softmaxRow(x: usize, y: usize, columns: i32, factor: f32): void {
  const t = f32x4.splat(largest(x, columns));
  const whole = (<usize>(columns & ~3)) << 2;
  const rest = columns & 3;
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let at: usize = 0;
  for (; at + 32 <= whole; at += 32) {
    const e0 = exp4(f32x4.sub(v128.load(x + at), t));
    const e1 = exp4(f32x4.sub(v128.load(x + at, 16), t));
    v128.store(y + at, e0);
    v128.store(y + at, e1, 16);
    s0 = f32x4.add(s0, e0);
    s1 = f32x4.add(s1, e1);
  }
  let sum = sumLanes(f32x4.add(s0, s1));
  for (const end = (<usize>columns) << 2; at < end; at += 4) {
    const e = f32x4.extract_lane(exp4(f32x4.sub(v128.load32_splat(x + at), t)), 0);
    store<f32>(y + at, e);
    sum += e;
  }
  const scale = f32x4.splat(factor / sum);
  for (at = 0; at < whole; at += 16) v128.store(y + at, f32x4.mul(v128.load(y + at), scale));
  if (rest !== 0) store4(y + whole, f32x4.mul(load4(y + whole, rest), scale), rest);
}

export function largest(x: usize, count: i32): f32 {
  let top = f32x4.splat(-Infinity);
  let i: i32 = 0;
  for (; i + 4 <= count; i += 4) top = f32x4.max(top, v128.load(x + ((<usize>i) << 2)));
  let top1 = max(
    max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1)),
    max(f32x4.extract_lane(top, 2), f32x4.extract_lane(top, 3)),
  );
  for (; i < count; i++) top1 = max(top1, load<f32>(x + ((<usize>i) << 2)));
  return top1;
}
