// The causal depthwise convolution with its window.
import { ActivationId } from '../gated_activation/args';
import { int, ptr } from '../shared/arguments';
import { activate4, load4, madd, silu4, store4 } from '../shared/math';
import { touch } from '../shared/touch';
import { ConvArg } from './args';

/** Channels per unit. */
const SPAN: i32 = 64;

/** A unit is a sequence and 64 channels. */
export function causalConv1d(args: usize, begin: i32, end: i32, scratch: usize): void {
  const length = int(args, ConvArg.length);
  const channels = int(args, ConvArg.channels);
  const width = int(args, ConvArg.width);
  const spans = (channels + SPAN - 1) / SPAN;
  const bias = ptr(args, ConvArg.bias);
  const rowBytes = (<usize>channels) << 2;
  const taps = scratch;
  const zeros = scratch + <usize>(width * SPAN * 4);
  memory.fill(zeros, 0, SPAN * 4);
  for (let unit = begin; unit < end; unit++) {
    const batch = <usize>(unit / spans);
    const first = (unit % spans) * SPAN;
    const count = min(SPAN, channels - first);
    const at = (<usize>first) << 2;
    const xStride = ptr(args, ConvArg.xStride) << 2;
    const x = ptr(args, ConvArg.x) + batch * <usize>length * xStride + at;
    const before = rowOf(ptr(args, ConvArg.before), batch, width, rowBytes, at);
    const after = rowOf(ptr(args, ConvArg.after), batch, width, rowBytes, at);
    transposeTaps(ptr(args, ConvArg.weight) + <usize>(first * width * 4), taps, count, width);
    const outputs = ptr(args, ConvArg.y) === 0 ? 0 : length;
    if (outputs > 1 && (first === 0 || unit === begin)) {
      const yStride = ptr(args, ConvArg.yStride) << 2;
      touch(x - at, <usize>length * xStride);
      touch(ptr(args, ConvArg.y) + batch * <usize>length * yStride, <usize>length * yStride);
    }
    for (let t: i32 = 0; t < outputs; t++) {
      if (width === 4 && count === SPAN && t + 1 < length) {
        const yStride = ptr(args, ConvArg.yStride) << 2;
        twoTokens(
          inputAt(t + 1, 4, x, xStride, before, rowBytes, zeros),
          inputAt(t + 2, 4, x, xStride, before, rowBytes, zeros),
          inputAt(t + 3, 4, x, xStride, before, rowBytes, zeros),
          x + <usize>t * xStride,
          x + <usize>(t + 1) * xStride,
          taps,
          bias === 0 ? zeros : bias + at,
          ptr(args, ConvArg.y) + (batch * <usize>length + <usize>t) * yStride + at,
          yStride,
          int(args, ConvArg.activation),
        );
        t++;
        continue;
      }
      if (width === 4 && count === SPAN) {
        const y =
          ptr(args, ConvArg.y) +
          (batch * <usize>length + <usize>t) * (ptr(args, ConvArg.yStride) << 2) +
          at;
        fourTaps(
          inputAt(t + 1, 4, x, xStride, before, rowBytes, zeros),
          inputAt(t + 2, 4, x, xStride, before, rowBytes, zeros),
          inputAt(t + 3, 4, x, xStride, before, rowBytes, zeros),
          inputAt(t + 4, 4, x, xStride, before, rowBytes, zeros),
          taps,
          bias === 0 ? zeros : bias + at,
          y,
          int(args, ConvArg.activation),
        );
        continue;
      }
      const y =
        ptr(args, ConvArg.y) +
        (batch * <usize>length + <usize>t) * (ptr(args, ConvArg.yStride) << 2) +
        at;
      for (let i: i32 = 0; i < count; i += 4) {
        const lanes = count - i;
        const o = (<usize>i) << 2;
        let sum = f32x4.splat(0);
        for (let w: i32 = 0; w < width; w++) {
          const row = inputAt(t + 1 + w, width, x, xStride, before, rowBytes, zeros);
          sum = madd(load4(row + o, lanes), v128.load(taps + <usize>(w * SPAN * 4) + o), sum);
        }
        if (bias !== 0) sum = f32x4.add(sum, load4(bias + at + o, lanes));
        store4(y + o, activate4(sum, int(args, ConvArg.activation)), lanes);
      }
    }
    if (after === 0) continue;
    // In order, so that the window can shift in place.
    for (let w: i32 = 0; w < width; w++) {
      const row = inputAt(length + w, width, x, xStride, before, rowBytes, zeros);
      const to = after + <usize>w * rowBytes;
      if (count === SPAN) {
        for (let o: usize = 0; o < <usize>(SPAN * 4); o += 16)
          v128.store(to + o, v128.load(row + o));
        continue;
      }
      for (let i: i32 = 0; i < count; i += 4) {
        const o = (<usize>i) << 2;
        store4(to + o, load4(row + o, count - i), count - i);
      }
    }
  }
}

/** A token of SPAN channels with width 4: its row and the three previous ones. */
function fourTaps(
  r0: usize,
  r1: usize,
  r2: usize,
  r3: usize,
  taps: usize,
  bias: usize,
  y: usize,
  activation: i32,
): void {
  for (let o: usize = 0; o < <usize>(SPAN * 4); o += 16) {
    let sum = f32x4.mul(v128.load(r0 + o), v128.load(taps + o));
    sum = madd(v128.load(r1 + o), v128.load(taps + o, SPAN * 4), sum);
    sum = madd(v128.load(r2 + o), v128.load(taps + o, SPAN * 8), sum);
    sum = madd(v128.load(r3 + o), v128.load(taps + o, SPAN * 12), sum);
    sum = f32x4.add(sum, v128.load(bias + o));
    v128.store(y + o, activation === ActivationId.Silu ? silu4(sum) : activate4(sum, activation));
  }
}

/** fourTaps for two tokens, which share rows and taps. */
function twoTokens(
  r0: usize,
  r1: usize,
  r2: usize,
  r3: usize,
  r4: usize,
  taps: usize,
  bias: usize,
  y: usize,
  yStride: usize,
  activation: i32,
): void {
  for (let o: usize = 0; o < <usize>(SPAN * 4); o += 16) {
    let x = v128.load(r1 + o);
    let tap = v128.load(taps + o);
    let a = f32x4.mul(v128.load(r0 + o), tap);
    let b = f32x4.mul(x, tap);
    tap = v128.load(taps + o, SPAN * 4);
    a = madd(x, tap, a);
    x = v128.load(r2 + o);
    b = madd(x, tap, b);
    tap = v128.load(taps + o, SPAN * 8);
    a = madd(x, tap, a);
    x = v128.load(r3 + o);
    b = madd(x, tap, b);
    tap = v128.load(taps + o, SPAN * 12);
    a = madd(x, tap, a);
    b = madd(v128.load(r4 + o), tap, b);
    tap = v128.load(bias + o);
    a = f32x4.add(a, tap);
    b = f32x4.add(b, tap);
    if (activation === ActivationId.Silu) {
      v128.store(y + o, silu4(a));
      v128.store(y + yStride + o, silu4(b));
    } else {
      v128.store(y + o, activate4(a, activation));
      v128.store(y + yStride + o, activate4(b, activation));
    }
  }
}

/** Address of a sequence's window; 0 without a window. */
function rowOf(window: usize, batch: usize, width: i32, rowBytes: usize, at: usize): usize {
  if (window === 0) return 0;
  return window + batch * <usize>width * rowBytes + at;
}

/** Row j of the history: the window's rows, then x. */
function inputAt(
  j: i32,
  width: i32,
  x: usize,
  xStride: usize,
  before: usize,
  rowBytes: usize,
  zeros: usize,
): usize {
  if (j >= width) return x + <usize>(j - width) * xStride;
  return before === 0 ? zeros : before + <usize>j * rowBytes;
}

/** weight (count, width) as (width, SPAN). */
export function transposeTaps(weight: usize, taps: usize, count: i32, width: i32): void {
  let c: i32 = 0;
  if (width === 4) {
    for (; c + 4 <= count; c += 4) {
      const from = weight + ((<usize>c) << 4);
      const to = taps + ((<usize>c) << 2);
      const a = v128.load(from);
      const b = v128.load(from, 16);
      const d = v128.load(from, 32);
      const e = v128.load(from, 48);
      const ab0 = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
      const ab1 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
      const de0 = v128.shuffle<i32>(d, e, 0, 4, 1, 5);
      const de1 = v128.shuffle<i32>(d, e, 2, 6, 3, 7);
      v128.store(to, v128.shuffle<i64>(ab0, de0, 0, 2));
      v128.store(to, v128.shuffle<i64>(ab0, de0, 1, 3), SPAN * 4);
      v128.store(to, v128.shuffle<i64>(ab1, de1, 0, 2), SPAN * 8);
      v128.store(to, v128.shuffle<i64>(ab1, de1, 1, 3), SPAN * 12);
    }
  }
  for (; c < count; c++) {
    for (let w: i32 = 0; w < width; w++) {
      store<f32>(
        taps + <usize>((w * SPAN + c) << 2),
        load<f32>(weight + <usize>((c * width + w) << 2)),
      );
    }
  }
}
