// The causal depthwise convolution with its window.
import { activate4, int, load4, madd, ptr, store4 } from './math';

/** Channels of a unit. */
const SPAN: i32 = 64;

/**
 * Words: x, its stride, weight (D, W), bias (0: none), window before (0: zeros), window after (0: not
 * wanted; may be the same), y, its stride, length, channels, width, activation. A unit is a row of the
 * batch and 64 channels.
 */
export function causalConv1d(args: usize, begin: i32, end: i32, scratch: usize): void {
  const length = int(args, 8);
  const channels = int(args, 9);
  const width = int(args, 10);
  const spans = (channels + SPAN - 1) / SPAN;
  const bias = ptr(args, 3);
  const rowBytes = (<usize>channels) << 2;
  const taps = scratch;
  const zeros = scratch + <usize>(width * SPAN * 4);
  memory.fill(zeros, 0, SPAN * 4);
  for (let unit = begin; unit < end; unit++) {
    const batch = <usize>(unit / spans);
    const first = (unit % spans) * SPAN;
    const count = min(SPAN, channels - first);
    const at = (<usize>first) << 2;
    const xStride = ptr(args, 1) << 2;
    const x = ptr(args, 0) + batch * <usize>length * xStride + at;
    const before = rowOf(ptr(args, 4), batch, width, rowBytes, at);
    const after = rowOf(ptr(args, 5), batch, width, rowBytes, at);
    transposeTaps(ptr(args, 2) + <usize>(first * width * 4), taps, count, width);
    for (let t: i32 = 0; t < length; t++) {
      const y = ptr(args, 6) + (batch * <usize>length + <usize>t) * (ptr(args, 7) << 2) + at;
      for (let i: i32 = 0; i < count; i += 4) {
        const lanes = count - i;
        const o = (<usize>i) << 2;
        let sum = f32x4.splat(0);
        for (let w: i32 = 0; w < width; w++) {
          const row = inputAt(t + 1 + w, width, x, xStride, before, rowBytes, zeros);
          sum = madd(load4(row + o, lanes), v128.load(taps + <usize>(w * SPAN * 4) + o), sum);
        }
        if (bias !== 0) sum = f32x4.add(sum, load4(bias + at + o, lanes));
        store4(y + o, activate4(sum, int(args, 11)), lanes);
      }
    }
    if (after === 0) continue;
    // In order, so that the window may move within itself.
    for (let w: i32 = 0; w < width; w++) {
      const row = inputAt(length + w, width, x, xStride, before, rowBytes, zeros);
      memory.copy(after + <usize>w * rowBytes, row, (<usize>count) << 2);
    }
  }
}

/** Where a row of the batch starts in a window; 0 where there is no window. */
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
  for (let c: i32 = 0; c < count; c++) {
    for (let w: i32 = 0; w < width; w++) {
      store<f32>(
        taps + <usize>((w * SPAN + c) << 2),
        load<f32>(weight + <usize>((c * width + w) << 2)),
      );
    }
  }
}
