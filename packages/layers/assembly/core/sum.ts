// Sums along an axis, always in the same order.
import { int, ptr } from '../shared/arguments';
import { load4, store4, sumLanes } from '../shared/math';
import { SumArg } from './args';

/**
 * y[o, i] = sum over j of x[o, j, i]. A unit is an outer index and, for inner > 1, a span of 64 inner ones.
 */
export function sum(args: usize, begin: i32, end: i32): void {
  const middle = int(args, SumArg.middle);
  const inner = int(args, SumArg.inner);
  const spans = (inner + 63) / 64;
  for (let unit = begin; unit < end; unit++) {
    const outer = <usize>(unit / spans);
    const x = ptr(args, SumArg.x) + ((outer * <usize>middle * <usize>inner) << 2);
    const y = ptr(args, SumArg.y) + ((outer * <usize>inner) << 2);
    if (inner === 1) {
      store<f32>(y, sumRow(x, middle));
    } else {
      const first = (unit % spans) * 64;
      sumColumns(x, y, middle, inner, first, min(first + 64, inner));
    }
  }
}

function sumRow(x: usize, count: i32): f32 {
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let i: i32 = 0;
  for (; i + 8 <= count; i += 8) {
    s0 = f32x4.add(s0, v128.load(x + ((<usize>i) << 2)));
    s1 = f32x4.add(s1, v128.load(x + ((<usize>i) << 2), 16));
  }
  for (; i < count; i += 4) s0 = f32x4.add(s0, load4(x + ((<usize>i) << 2), count - i));
  return sumLanes(f32x4.add(s0, s1));
}

function sumColumns(x: usize, y: usize, rows: i32, stride: i32, first: i32, last: i32): void {
  for (let i = first; i < last; i += 4) {
    const at = (<usize>i) << 2;
    let s = f32x4.splat(0);
    let from = x + at;
    for (let r: i32 = 0; r < rows; r++) {
      s = f32x4.add(s, load4(from, last - i));
      from += (<usize>stride) << 2;
    }
    store4(y + at, s, last - i);
  }
}
