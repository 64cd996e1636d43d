// The gradient of the causal convolution.
import { ActivationId } from '../gated_activation/args';
import { int, ptr } from '../shared/arguments';
import { activateGrad4, load4, madd, sigmoid4, siluGrad4, store4 } from '../shared/math';
import { ConvGradArg } from './args';
import { transposeTaps } from './causal_conv1d';

/** A special case for the usual width: taps and window stay in registers. */
const COMMON_WIDTH: i32 = 4;

/** Channels per unit. */
const SPAN: i32 = 64;
/**
 * Tokens that all channels of a unit process before the next ones, so that their rows stay in the
 * first-level cache.
 */
const BLOCK: i32 = 16;
/** Bytes of dz per token, in scratch memory. */
const DZ_ROW: usize = SPAN * 4;

/** A unit is a sequence and 64 channels. Scratch: width + 6 + length times as many values. */
export function causalConv1dGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const length = int(args, ConvGradArg.length);
  const channels = int(args, ConvGradArg.channels);
  const width = int(args, ConvGradArg.width);
  const spans = (channels + SPAN - 1) / SPAN;
  const rowBytes = (<usize>channels) << 2;
  const zeros = scratch + <usize>(width * SPAN * 4);
  memory.fill(zeros, 0, SPAN * 4);
  for (let unit = begin; unit < end; unit++) {
    const batch = <usize>(unit / spans);
    const first = (unit % spans) * SPAN;
    const count = min(SPAN, channels - first);
    const at = (<usize>first) << 2;
    const inputs = batch * <usize>length * rowBytes + at;
    const windows = batch * <usize>width * rowBytes + at;
    const x = ptr(args, ConvGradArg.x) + inputs;
    const before =
      ptr(args, ConvGradArg.before) === 0 ? <usize>0 : ptr(args, ConvGradArg.before) + windows;
    const dz = zeros + SPAN * 4 * 6;
    transposeTaps(
      ptr(args, ConvGradArg.weight) + <usize>(first * width * 4),
      scratch,
      count,
      width,
    );
    const bias = ptr(args, ConvGradArg.bias) === 0 ? zeros : ptr(args, ConvGradArg.bias) + at;
    const dAfter =
      ptr(args, ConvGradArg.dafter) === 0 ? <usize>0 : ptr(args, ConvGradArg.dafter) + windows;
    const dx = ptr(args, ConvGradArg.dx) + inputs;
    const dTaps =
      ptr(args, ConvGradArg.dweight) +
      batch * <usize>(channels * width * 4) +
      <usize>(first * width * 4);
    const dBias =
      ptr(args, ConvGradArg.dbias) === 0
        ? <usize>0
        : ptr(args, ConvGradArg.dbias) + batch * rowBytes + at;
    if (width === COMMON_WIDTH && (count & 3) === 0) {
      const dy = ptr(args, ConvGradArg.dy) + inputs;
      const width4 = (<usize>count) << 2;
      const sums = zeros + SPAN * 4;
      memory.fill(sums, 0, width4 * 5);
      for (let t: i32 = 0; t < length; t += BLOCK) {
        const at = <usize>t * rowBytes;
        const tokens = min(BLOCK, length - t);
        let three = before === 0 ? <usize>0 : before + rowBytes;
        if (t !== 0) three = x + at - rowBytes * 3;
        for (let o: usize = 0; o < width4; o += 16) {
          const past = three === 0 ? <usize>0 : three + o;
          const to = sums + o * 5;
          const rows = at + o;
          fourTapGrad(
            args,
            x + rows,
            past,
            bias + o,
            dy + rows,
            dz + <usize>t * DZ_ROW + o,
            tokens,
            rowBytes,
            scratch + o,
            to,
          );
        }
      }
      for (let o: usize = 0; o < width4; o += 16) {
        transposeFour(sums + o * 5, dTaps + (o << 2));
        if (dBias !== 0) v128.store(dBias + o, v128.load(sums + o * 5, 64));
      }
      for (let t: i32 = 0; t < length - width; t += BLOCK) {
        const at = <usize>t * rowBytes;
        const tokens = min(BLOCK, length - width - t);
        for (let o: usize = 0; o < width4; o += 16) {
          fourInputGrad(dz + <usize>t * DZ_ROW + o, dx + at + o, tokens, rowBytes, scratch + o);
        }
      }
      for (let t = max(0, length - width); t < length; t++) {
        inputGrad(args, t + width, dz, dAfter, dx + <usize>t * rowBytes, count, rowBytes, scratch);
      }
    } else {
      preActivationGrad(args, x, before, bias, dz, inputs, count, rowBytes, scratch, zeros);
      for (let t: i32 = 0; t < length; t++) {
        inputGrad(args, t + width, dz, dAfter, dx + <usize>t * rowBytes, count, rowBytes, scratch);
      }
      tapGrad(args, x, before, dz, dTaps, count, rowBytes, zeros);
      if (dBias !== 0) biasGrad(dz, dBias, length, count);
    }
    if (ptr(args, ConvGradArg.dbefore) !== 0) {
      for (let w: i32 = 0; w < width; w++) {
        const to = ptr(args, ConvGradArg.dbefore) + windows + <usize>w * rowBytes;
        inputGrad(args, w, dz, dAfter, to, count, rowBytes, scratch);
      }
    }
  }
}

/**
 * dz of some tokens for four channels of COMMON_WIDTH. Adds their gradients of the four taps and of the
 * bias to sums. `past`: the three rows before, 0 for zeros.
 */
function fourTapGrad(
  args: usize,
  x: usize,
  past: usize,
  bias: usize,
  dy: usize,
  dz: usize,
  tokens: i32,
  rowBytes: usize,
  taps: usize,
  sums: usize,
): void {
  const activation = int(args, ConvGradArg.activation);
  let x0 = f32x4.splat(0);
  let x1 = x0;
  let x2 = x0;
  let d0 = v128.load(sums);
  let d1 = v128.load(sums, 16);
  let d2 = v128.load(sums, 32);
  let d3 = v128.load(sums, 48);
  let dBias = v128.load(sums, 64);
  if (past !== 0) {
    x0 = v128.load(past);
    x1 = v128.load(past + rowBytes);
    x2 = v128.load(past + (rowBytes << 1));
  }
  const end = x + <usize>tokens * rowBytes;
  while (x < end) {
    const x3 = v128.load(x);
    let sum = madd(x0, v128.load(taps), v128.load(bias));
    sum = madd(x1, v128.load(taps, SPAN * 4), sum);
    sum = madd(x2, v128.load(taps, SPAN * 8), sum);
    sum = madd(x3, v128.load(taps, SPAN * 12), sum);
    sum =
      activation === ActivationId.Silu
        ? siluGrad4(sum, sigmoid4(sum))
        : activateGrad4(sum, activation);
    const d = f32x4.mul(v128.load(dy), sum);
    v128.store(dz, d);
    dBias = f32x4.add(dBias, d);
    d0 = madd(d, x0, d0);
    d1 = madd(d, x1, d1);
    d2 = madd(d, x2, d2);
    d3 = madd(d, x3, d3);
    x0 = x1;
    x1 = x2;
    x2 = x3;
    x += rowBytes;
    dy += rowBytes;
    dz += DZ_ROW;
  }
  v128.store(sums, d0);
  v128.store(sums, d1, 16);
  v128.store(sums, d2, 32);
  v128.store(sums, d3, 48);
  v128.store(sums, dBias, 64);
}

/** Transposes four vectors, so that a channel's taps are adjacent. */
function transposeFour(from: usize, to: usize): void {
  const d0 = v128.load(from);
  const d1 = v128.load(from, 16);
  const d2 = v128.load(from, 32);
  const d3 = v128.load(from, 48);
  const a = v128.shuffle<i32>(d0, d1, 0, 4, 1, 5);
  const b = v128.shuffle<i32>(d0, d1, 2, 6, 3, 7);
  const p = v128.shuffle<i32>(d2, d3, 0, 4, 1, 5);
  const q = v128.shuffle<i32>(d2, d3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(a, p, 0, 2));
  v128.store(to, v128.shuffle<i64>(a, p, 1, 3), 16);
  v128.store(to, v128.shuffle<i64>(b, q, 0, 2), 32);
  v128.store(to, v128.shuffle<i64>(b, q, 1, 3), 48);
}

/** dx of some tokens for four channels of COMMON_WIDTH; three more rows of dz follow. */
function fourInputGrad(dz: usize, dx: usize, tokens: i32, rowBytes: usize, taps: usize): void {
  const tap0 = v128.load(taps);
  const tap1 = v128.load(taps, SPAN * 4);
  const tap2 = v128.load(taps, SPAN * 8);
  const tap3 = v128.load(taps, SPAN * 12);
  let z0 = v128.load(dz);
  let z1 = v128.load(dz + DZ_ROW);
  let z2 = v128.load(dz + (DZ_ROW << 1));
  dz += DZ_ROW * 3;
  const end = dx + <usize>tokens * rowBytes;
  for (; dx < end; dx += rowBytes) {
    const z3 = v128.load(dz);
    let sum = f32x4.mul(z3, tap0);
    sum = madd(z2, tap1, sum);
    sum = madd(z1, tap2, sum);
    v128.store(dx, madd(z0, tap3, sum));
    z0 = z1;
    z1 = z2;
    z2 = z3;
    dz += DZ_ROW;
  }
}

/** Row j of the history: the window's rows, then x. */
function inputAt(
  j: i32,
  width: i32,
  x: usize,
  before: usize,
  rowBytes: usize,
  zeros: usize,
): usize {
  if (j >= width) return x + <usize>(j - width) * rowBytes;
  return before === 0 ? zeros : before + <usize>j * rowBytes;
}

/** dz = dy activation'(the convolution) */
function preActivationGrad(
  args: usize,
  x: usize,
  before: usize,
  bias: usize,
  dz: usize,
  inputs: usize,
  count: i32,
  rowBytes: usize,
  taps: usize,
  zeros: usize,
): void {
  const width = int(args, ConvGradArg.width);
  const length = int(args, ConvGradArg.length);
  for (let t: i32 = 0; t < length; t++) {
    const row = <usize>t * rowBytes;
    for (let i: i32 = 0; i < count; i += 4) {
      const o = (<usize>i) << 2;
      const lanes = count - i;
      let sum = load4(bias + o, lanes);
      for (let w: i32 = 0; w < width; w++) {
        const from = inputAt(t + 1 + w, width, x, before, rowBytes, zeros);
        sum = madd(load4(from + o, lanes), v128.load(taps + <usize>(w * SPAN * 4) + o), sum);
      }
      const d = load4(ptr(args, ConvGradArg.dy) + inputs + row + o, lanes);
      store4(
        dz + <usize>t * DZ_ROW + o,
        f32x4.mul(d, activateGrad4(sum, int(args, ConvGradArg.activation))),
        lanes,
      );
    }
  }
}

/** The gradient of row j of the history: output t used it with tap j - t - 1. */
function inputGrad(
  args: usize,
  j: i32,
  dz: usize,
  dAfter: usize,
  to: usize,
  count: i32,
  rowBytes: usize,
  taps: usize,
): void {
  const width = int(args, ConvGradArg.width);
  const length = int(args, ConvGradArg.length);
  for (let i: i32 = 0; i < count; i += 4) {
    const o = (<usize>i) << 2;
    const lanes = count - i;
    let sum = f32x4.splat(0);
    if (dAfter !== 0 && j >= length) {
      sum = load4(dAfter + <usize>(j - length) * rowBytes + o, lanes);
    }
    for (let w: i32 = 0; w < width; w++) {
      const t = j - w - 1;
      if (t < 0 || t >= length) continue;
      const tap = v128.load(taps + <usize>(w * SPAN * 4) + o);
      sum = madd(load4(dz + <usize>t * DZ_ROW + o, lanes), tap, sum);
    }
    store4(to + o, sum, lanes);
  }
}

function tapGrad(
  args: usize,
  x: usize,
  before: usize,
  dz: usize,
  to: usize,
  count: i32,
  rowBytes: usize,
  zeros: usize,
): void {
  const width = int(args, ConvGradArg.width);
  const length = int(args, ConvGradArg.length);
  for (let i: i32 = 0; i < count; i += 4) {
    const o = (<usize>i) << 2;
    const lanes = count - i;
    for (let w: i32 = 0; w < width; w++) {
      let sum = f32x4.splat(0);
      for (let t: i32 = 0; t < length; t++) {
        const from = inputAt(t + 1 + w, width, x, before, rowBytes, zeros);
        sum = madd(load4(dz + <usize>t * DZ_ROW + o, lanes), load4(from + o, lanes), sum);
      }
      const at = to + <usize>((i * width + w) << 2);
      const step = (<usize>width) << 2;
      store<f32>(at, f32x4.extract_lane(sum, 0));
      if (lanes > 1) store<f32>(at + step, f32x4.extract_lane(sum, 1));
      if (lanes > 2) store<f32>(at + (step << 1), f32x4.extract_lane(sum, 2));
      if (lanes > 3) store<f32>(at + step * 3, f32x4.extract_lane(sum, 3));
    }
  }
}

function biasGrad(dz: usize, to: usize, length: i32, count: i32): void {
  for (let i: i32 = 0; i < count; i += 4) {
    const o = (<usize>i) << 2;
    let sum = f32x4.splat(0);
    for (let t: i32 = 0; t < length; t++) {
      sum = f32x4.add(sum, load4(dz + <usize>t * DZ_ROW + o, count - i));
    }
    store4(to + o, sum, count - i);
  }
}
