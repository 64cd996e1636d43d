// Rotary position embedding (arXiv 2104.09864), in place, on the first channels of each head of queries and
// keys.
import { int, ptr } from '../shared/arguments';
import { load4, store4 } from '../shared/math';
import { RotaryArg } from './args';

/**
 * A unit is a token. Channels i and i + HALF of a head are a pair, rotated by position x frequency i. Angles
 * are f64, since they are large at late positions. Scratch: 2 HALF values.
 */
export function rotary(args: usize, begin: i32, end: i32, scratch: usize): void {
  const half = int(args, RotaryArg.half);
  const length = int(args, RotaryArg.length);
  const halfBytes = (<usize>half) << 2;
  const sines = scratch + halfBytes;
  for (let unit = begin; unit < end; unit++) {
    const positions = ptr(args, RotaryArg.positions);
    const before = positions === 0 ? 0 : load<i32>(positions + ((<usize>(unit / length)) << 2));
    turns(ptr(args, RotaryArg.frequencies), half, before + (unit % length), scratch, sines);
    const token = (<usize>unit * ptr(args, RotaryArg.xStride)) << 2;
    for (let h: i32 = 0; h < int(args, RotaryArg.heads); h++) {
      const head = <usize>h * (ptr(args, RotaryArg.headDim) << 2);
      const x = ptr(args, RotaryArg.x) + token + head;
      turn(x, x + halfBytes, scratch, sines, half);
    }
  }
}

/** Cosines and sines of a position. */
function turns(frequencies: usize, half: i32, position: i32, cosines: usize, sines: usize): void {
  for (let i: usize = 0; i < <usize>half; i++) {
    const angle = <f64>position * <f64>load<f32>(frequencies + (i << 2));
    store<f32>(cosines + (i << 2), <f32>NativeMath.cos(angle));
    store<f32>(sines + (i << 2), <f32>NativeMath.sin(angle));
  }
}

function turn(first: usize, second: usize, cosines: usize, sines: usize, half: i32): void {
  for (let i: i32 = 0; i < half; i += 4) {
    const at = (<usize>i) << 2;
    const lanes = half - i;
    const a = load4(first + at, lanes);
    const b = load4(second + at, lanes);
    const cosine = load4(cosines + at, lanes);
    const sine = load4(sines + at, lanes);
    store4(first + at, f32x4.sub(f32x4.mul(a, cosine), f32x4.mul(b, sine)), lanes);
    store4(second + at, f32x4.add(f32x4.mul(b, cosine), f32x4.mul(a, sine)), lanes);
  }
}
