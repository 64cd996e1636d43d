// Element by element: binary ops with broadcasting, unary ops, sums, transposes.
import { exp4, int, load4, madd, num, ptr, sigmoid4, store4, sumLanes } from './math';

/** Numbers of a unit of binary and unary ops. */
const SPAN: i32 = 4096;

/**
 * y = op(a, b). Words: a, b, y, size, op of BinaryOp, then for a and for b: how often each number is
 * repeated, and how many numbers there are (they start again after that). A unit is 4096 numbers.
 */
export function binary(args: usize, begin: i32, end: i32): void {
  const size = int(args, 3);
  const last = min(end * SPAN, size);
  let i = begin * SPAN;
  while (i < last) {
    const a = ptr(args, 0) + offsetOf(i, int(args, 5), int(args, 6));
    const b = ptr(args, 1) + offsetOf(i, int(args, 7), int(args, 8));
    const count = min(
      last - i,
      min(runOf(i, int(args, 5), int(args, 6)), runOf(i, int(args, 7), int(args, 8))),
    );
    const y = ptr(args, 2) + ((<usize>i) << 2);
    binaryRun(int(args, 4), a, int(args, 5) > 1, b, int(args, 7) > 1, y, count);
    i += count;
  }
}

function offsetOf(i: i32, repeat: i32, count: i32): usize {
  return (<usize>((i / repeat) % count)) << 2;
}

/** Numbers from i on that are one stretch of memory, or one number. */
function runOf(i: i32, repeat: i32, count: i32): i32 {
  return repeat > 1 ? repeat - (i % repeat) : count - (i % count);
}

function binaryRun(
  op: i32,
  a: usize,
  aOne: bool,
  b: usize,
  bOne: bool,
  y: usize,
  count: i32,
): void {
  const a1 = v128.load32_splat(a);
  const b1 = v128.load32_splat(b);
  for (let i: i32 = 0; i < count; i += 4) {
    const at = (<usize>i) << 2;
    const va = aOne ? a1 : load4(a + at, count - i);
    const vb = bOne ? b1 : load4(b + at, count - i);
    store4(y + at, apply(op, va, vb), count - i);
  }
}

function apply(op: i32, a: v128, b: v128): v128 {
  switch (op) {
    case 0:
      return f32x4.add(a, b);
    case 1:
      return f32x4.sub(a, b);
    case 2:
      return f32x4.mul(a, b);
    case 3:
      return f32x4.div(a, b);
    case 4:
      return f32x4.max(a, b);
    case 5:
      return f32x4.min(a, b);
    default: {
      const d = f32x4.sub(a, b);
      return f32x4.mul(d, d);
    }
  }
}

/** Words: x, y, size, op of UnaryOp. A unit is 4096 numbers. */
export function unary(args: usize, begin: i32, end: i32): void {
  const last = min(end * SPAN, int(args, 2));
  const op = int(args, 3);
  for (let i = begin * SPAN; i < last; i += 4) {
    const at = (<usize>i) << 2;
    store4(ptr(args, 1) + at, applyUnary(op, load4(ptr(args, 0) + at, last - i)), last - i);
  }
}

function applyUnary(op: i32, x: v128): v128 {
  switch (op) {
    case 0:
      return f32x4.neg(x);
    case 1:
      return f32x4.mul(x, x);
    case 2:
      return f32x4.sqrt(x);
    case 3:
      return f32x4.div(f32x4.splat(1), f32x4.sqrt(x));
    case 4:
      return f32x4.abs(x);
    case 5:
      return sigmoid4(x);
    default:
      return wholeExp4(x);
  }
}

/** exp over all of its range: 0 below it, Infinity above. */
function wholeExp4(x: v128): v128 {
  const large = f32x4.gt(x, f32x4.splat(80));
  const y = exp4(v128.bitselect(f32x4.sub(x, f32x4.splat(8)), x, large));
  const scaled = v128.bitselect(f32x4.mul(y, f32x4.splat(2980.957987)), y, large);
  return v128.andnot(scaled, f32x4.lt(x, f32x4.splat(-87.33)));
}

/**
 * y[o, i] = sum over j of x[o, j, i]. Words: x, y, outer, middle, inner. A unit is an outer index and,
 * where inner > 1, a span of 64 inner ones.
 */
export function sum(args: usize, begin: i32, end: i32): void {
  const middle = int(args, 3);
  const inner = int(args, 4);
  const spans = (inner + 63) / 64;
  for (let unit = begin; unit < end; unit++) {
    const outer = <usize>(unit / spans);
    const x = ptr(args, 0) + ((outer * <usize>middle * <usize>inner) << 2);
    const y = ptr(args, 1) + ((outer * <usize>inner) << 2);
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

/** y (columns, rows) = x (rows, columns) transposed. Words: x, y, rows, columns. A unit is 4 rows. */
export function transpose(args: usize, begin: i32, end: i32): void {
  const rows = int(args, 2);
  const columns = int(args, 3);
  const xStride = (<usize>columns) << 2;
  const yStride = (<usize>rows) << 2;
  for (let unit = begin; unit < end; unit++) {
    const r = unit << 2;
    const x = ptr(args, 0) + <usize>r * xStride;
    const y = ptr(args, 1) + ((<usize>r) << 2);
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

/** out[ids[i]] += dy[i]. Words: ids, dy, out (zeros), count, columns, rows. A unit is 64 columns. */
export function embeddingLookupGrad(args: usize, begin: i32, end: i32): void {
  const count = int(args, 3);
  const columns = int(args, 4);
  for (let unit = begin; unit < end; unit++) {
    const first = unit << 6;
    const last = min(first + 64, columns);
    for (let i: i32 = 0; i < count; i++) {
      const id = load<i32>(ptr(args, 0) + ((<usize>i) << 2));
      if (id < 0 || id >= int(args, 5)) continue;
      const from = ptr(args, 1) + <usize>i * ((<usize>columns) << 2);
      const to = ptr(args, 2) + <usize>id * ((<usize>columns) << 2);
      for (let c = first; c < last; c += 4) {
        const at = (<usize>c) << 2;
        const s = f32x4.add(load4(to + at, last - c), load4(from + at, last - c));
        store4(to + at, s, last - c);
      }
    }
  }
}

/**
 * One step of AdamW. Words: variable, mean, square, gradient, size, then numbers: factor of the gradient,
 * beta1, beta2, eps, correction of the square, step of the mean, factor of the variable; then where the new
 * variable, mean and square go. A unit is 4096 numbers.
 */
export function adamWStep(args: usize, begin: i32, end: i32): void {
  const last = min(end * SPAN, int(args, 4));
  const factor = f32x4.splat(num(args, 5));
  const beta1 = f32x4.splat(num(args, 6));
  const beta2 = f32x4.splat(num(args, 7));
  const rest1 = f32x4.sub(f32x4.splat(1), beta1);
  const rest2 = f32x4.sub(f32x4.splat(1), beta2);
  const eps = f32x4.splat(num(args, 8));
  const correction = f32x4.splat(num(args, 9));
  const step = f32x4.splat(num(args, 10));
  const kept = f32x4.splat(num(args, 11));
  for (let i = begin * SPAN; i < last; i += 4) {
    const at = (<usize>i) << 2;
    const lanes = last - i;
    const g = f32x4.mul(load4(ptr(args, 3) + at, lanes), factor);
    const m = madd(load4(ptr(args, 1) + at, lanes), beta1, f32x4.mul(g, rest1));
    const s = madd(load4(ptr(args, 2) + at, lanes), beta2, f32x4.mul(f32x4.mul(g, g), rest2));
    const deviation = f32x4.add(f32x4.sqrt(f32x4.mul(s, correction)), eps);
    const move = f32x4.mul(f32x4.div(m, deviation), step);
    store4(ptr(args, 12) + at, madd(load4(ptr(args, 0) + at, lanes), kept, move), lanes);
    store4(ptr(args, 13) + at, m, lanes);
    store4(ptr(args, 14) + at, s, lanes);
  }
}
