// The gradient of the causal convolution.
import { transposeTaps } from './conv';
import { activateGrad4, int, load4, madd, ptr, store4 } from './math';

/** Channels of a unit. */
const SPAN: i32 = 64;

/**
 * Words: x, weight, bias (0: none), window before (0: zeros), dy, d(window after) (0: none), dx,
 * dweight (B, D, W), dbias (B, D) (0: not wanted), d(window before) (0: not wanted), length, channels,
 * width, activation, dz (B, L, D) to work in. A unit is a row of the batch and 64 channels.
 */
export function causalConv1dGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const length = int(args, 10);
  const channels = int(args, 11);
  const width = int(args, 12);
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
    const x = ptr(args, 0) + inputs;
    const before = ptr(args, 3) === 0 ? <usize>0 : ptr(args, 3) + windows;
    const dz = ptr(args, 14) + inputs;
    transposeTaps(ptr(args, 1) + <usize>(first * width * 4), scratch, count, width);
    const bias = ptr(args, 2) === 0 ? zeros : ptr(args, 2) + at;
    preActivationGrad(args, x, before, bias, dz, inputs, count, rowBytes, scratch, zeros);
    const dAfter = ptr(args, 5) === 0 ? <usize>0 : ptr(args, 5) + windows;
    const dx = ptr(args, 6) + inputs;
    for (let t: i32 = 0; t < length; t++) {
      const to = dx + <usize>t * rowBytes;
      inputGrad(args, t + width, dz, dAfter, to, count, rowBytes, scratch);
    }
    if (ptr(args, 9) !== 0) {
      for (let w: i32 = 0; w < width; w++) {
        const to = ptr(args, 9) + windows + <usize>w * rowBytes;
        inputGrad(args, w, dz, dAfter, to, count, rowBytes, scratch);
      }
    }
    const part = batch * <usize>(channels * width * 4) + <usize>(first * width * 4);
    tapGrad(args, x, before, dz, ptr(args, 7) + part, count, rowBytes, zeros);
    if (ptr(args, 8) !== 0)
      biasGrad(dz, ptr(args, 8) + batch * rowBytes + at, length, count, rowBytes);
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
  const width = int(args, 12);
  const length = int(args, 10);
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
      const d = load4(ptr(args, 4) + inputs + row + o, lanes);
      store4(dz + row + o, f32x4.mul(d, activateGrad4(sum, int(args, 13))), lanes);
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
  const width = int(args, 12);
  const length = int(args, 10);
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
      sum = madd(load4(dz + <usize>t * rowBytes + o, lanes), tap, sum);
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
  const width = int(args, 12);
  const length = int(args, 10);
  for (let i: i32 = 0; i < count; i += 4) {
    const o = (<usize>i) << 2;
    const lanes = count - i;
    for (let w: i32 = 0; w < width; w++) {
      let sum = f32x4.splat(0);
      for (let t: i32 = 0; t < length; t++) {
        const from = inputAt(t + 1 + w, width, x, before, rowBytes, zeros);
        sum = madd(load4(dz + <usize>t * rowBytes + o, lanes), load4(from + o, lanes), sum);
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

function biasGrad(dz: usize, to: usize, length: i32, count: i32, rowBytes: usize): void {
  for (let i: i32 = 0; i < count; i += 4) {
    const o = (<usize>i) << 2;
    let sum = f32x4.splat(0);
    for (let t: i32 = 0; t < length; t++) {
      sum = f32x4.add(sum, load4(dz + <usize>t * rowBytes + o, count - i));
    }
    store4(to + o, sum, count - i);
  }
}
