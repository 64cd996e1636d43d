// Element by element: binary ops with broadcasting, unary ops, sums, transposes.
import { int, ptr } from '../shared/arguments';
import { exp4, load4, sigmoid4, store4 } from '../shared/math';
import { BinaryArg, UnaryArg } from './args';

/** Values per unit of binary and unary ops. */
const SPAN: i32 = 4096;

/** y = op(a, b), with broadcasting. A unit is 4096 values. */
export function binary(args: usize, begin: i32, end: i32): void {
  const size = int(args, BinaryArg.size);
  const last = min(end * SPAN, size);
  let i = begin * SPAN;
  while (i < last) {
    const a =
      ptr(args, BinaryArg.a) +
      offsetOf(i, int(args, BinaryArg.aRepeat), int(args, BinaryArg.aCount));
    const b =
      ptr(args, BinaryArg.b) +
      offsetOf(i, int(args, BinaryArg.bRepeat), int(args, BinaryArg.bCount));
    const count = min(
      last - i,
      min(
        runOf(i, int(args, BinaryArg.aRepeat), int(args, BinaryArg.aCount)),
        runOf(i, int(args, BinaryArg.bRepeat), int(args, BinaryArg.bCount)),
      ),
    );
    const y = ptr(args, BinaryArg.y) + ((<usize>i) << 2);
    binaryRun(
      int(args, BinaryArg.op),
      a,
      int(args, BinaryArg.aRepeat) > 1,
      b,
      int(args, BinaryArg.bRepeat) > 1,
      y,
      count,
    );
    i += count;
  }
}

function offsetOf(i: i32, repeat: i32, count: i32): usize {
  return (<usize>((i / repeat) % count)) << 2;
}

/** Values from i on that are contiguous, or one repeated value. */
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

/** A unit is 4096 values. */
export function unary(args: usize, begin: i32, end: i32): void {
  const last = min(end * SPAN, int(args, UnaryArg.size));
  const op = int(args, UnaryArg.op);
  for (let i = begin * SPAN; i < last; i += 4) {
    const at = (<usize>i) << 2;
    store4(
      ptr(args, UnaryArg.y) + at,
      applyUnary(op, load4(ptr(args, UnaryArg.x) + at, last - i)),
      last - i,
    );
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

/** exp over its whole range: 0 below it, Infinity above. */
function wholeExp4(x: v128): v128 {
  const large = f32x4.gt(x, f32x4.splat(80));
  const y = exp4(v128.bitselect(f32x4.sub(x, f32x4.splat(8)), x, large));
  const scaled = v128.bitselect(f32x4.mul(y, f32x4.splat(2980.957987)), y, large);
  return v128.andnot(scaled, f32x4.lt(x, f32x4.splat(-87.33)));
}
