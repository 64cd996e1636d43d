// Quantises activations with a scale per group, for the integer matmuls.
import { int, num, ptr } from '../shared/arguments';
import { magnitudes, rounding } from '../shared/constants';
import { load4 } from '../shared/math';
import { QuantizeArg, QuantizedKind } from './args';
import { takesUnsigned } from './byte_dots';
import { QUANTIZED_STRIDE } from './common';

/** A unit is a row. */
export function quantizeActivations(args: usize, begin: i32, end: i32): void {
  const columns = int(args, QuantizeArg.columns);
  const group = int(args, QuantizeArg.group);
  const groups = int(args, QuantizeArg.padded) / group;
  const rows = int(args, QuantizeArg.rows);
  const wide = int(args, QuantizeArg.kind) === QuantizedKind.I16;
  const centres = ptr(args, QuantizeArg.centres);
  const ofFours = int(args, QuantizeArg.ofFours) !== 0;
  const isInt8 = int(args, QuantizeArg.isInt8) !== 0;
  const middle: i32 = isInt8 && takesUnsigned() ? 128 : 0;
  const largest = <f32>int(args, QuantizeArg.largest);
  const factor = num(args, QuantizeArg.factor);
  for (let m = begin; m < end; m++) {
    const x = ptr(args, QuantizeArg.x) + ((<usize>m * ptr(args, QuantizeArg.xStride)) << 2);
    for (let g: i32 = 0; g < groups; g++) {
      const at = <usize>(g * rows + m);
      const from = x + ((<usize>(g * group)) << 2);
      const count = min(group, columns - g * group);
      const top = ofFours ? largestFour(from, count) : largestOf(from, count);
      const inverse = f32x4.splat(top > 0 ? largest / top : 0);
      const scale = (top / largest) * factor;
      const out =
        ptr(args, QuantizeArg.values) + at * (wide ? QUANTIZED_STRIDE << 1 : QUANTIZED_STRIDE);
      const sum = wide
        ? quantized16(from, out, group, count, inverse)
        : quantized8(from, out, group, count, inverse);
      store<f32>(ptr(args, QuantizeArg.scales) + (at << 2), scale);
      store<f32>(ptr(args, QuantizeArg.sums) + (at << 2), scale * <f32>sum);
      if (centres !== 0) store<i32>(centres + (at << 2), -middle * sum);
    }
  }
}

/** The largest magnitude. Integer comparison orders floats likewise, with NaN above all. */
function largestOf(from: usize, count: i32): f32 {
  const magnitude = magnitudes();
  let a = i32x4.splat(0);
  let b = a;
  let i: i32 = 0;
  for (; i + 8 <= count; i += 8) {
    const p = from + ((<usize>i) << 2);
    a = i32x4.max_s(a, v128.and(v128.load(p), magnitude));
    b = i32x4.max_s(b, v128.and(v128.load(p, 16), magnitude));
  }
  for (; i < count; i += 4) {
    const v = load4(from + ((<usize>i) << 2), count - i);
    a = i32x4.max_s(a, v128.and(v, magnitude));
  }
  return largestLane(i32x4.max_s(a, b));
}

function largestLane(a: v128): f32 {
  const top = max(
    max(i32x4.extract_lane(a, 0), i32x4.extract_lane(a, 1)),
    max(i32x4.extract_lane(a, 2), i32x4.extract_lane(a, 3)),
  );
  return reinterpret<f32>(top);
}

/**
 * Of each 8 values, the four whose products are summed in 16 bits are 0, 1, 4, 5 and 2, 3, 6, 7. Returns
 * the largest sum of the positive ones among them, or of the negative ones. If that is quantised to 124,
 * values of one sign sum to at most 126 with rounding, and 126 x 255 fits in 16 bits, as does 2 x 126 x
 * 128. Most values are then larger than with a bound of 124 / 4 each.
 */
function largestFour(from: usize, count: i32): f32 {
  const magnitude = magnitudes();
  let top = i32x4.splat(0);
  for (let i: i32 = 0; i < count; i += 8) {
    const p = from + ((<usize>i) << 2);
    const isWhole = i + 8 <= count;
    const a = isWhole ? v128.load(p) : some4(p, count - i);
    const b = isWhole ? v128.load(p, 16) : some4(p + 16, count - i - 4);
    const above = f32x4.add(v128.andnot(a, i32x4.shr_s(a, 31)), v128.andnot(b, i32x4.shr_s(b, 31)));
    const positive = f32x4.add(above, v128.shuffle<i32>(above, above, 1, 0, 3, 2));
    const both = f32x4.add(a, b);
    const sum = f32x4.add(both, v128.shuffle<i32>(both, both, 1, 0, 3, 2));
    const negative = f32x4.sub(positive, sum);
    top = i32x4.max_s(
      top,
      i32x4.max_s(v128.and(positive, magnitude), v128.and(negative, magnitude)),
    );
  }
  return largestLane(top);
}

function rounded4(v: v128, inverse: v128): v128 {
  return i32x4.sub(f32x4.add(f32x4.mul(v, inverse), rounding()), rounding());
}

function quantized4(p: usize, count: i32, inverse: v128): v128 {
  return rounded4(some4(p, count), inverse);
}

/** load4 for a count that may be 0 or less. */
function some4(p: usize, count: i32): v128 {
  return count <= 0 ? i32x4.splat(0) : load4(p, count);
}

function sumInts(a: v128): i32 {
  return (
    i32x4.extract_lane(a, 0) +
    i32x4.extract_lane(a, 1) +
    i32x4.extract_lane(a, 2) +
    i32x4.extract_lane(a, 3)
  );
}

function quantized16(from: usize, out: usize, group: i32, count: i32, inverse: v128): i32 {
  let sum = i32x4.splat(0);
  let i: i32 = 0;
  for (; i + 8 <= count; i += 8) {
    const p = from + ((<usize>i) << 2);
    const a = rounded4(v128.load(p), inverse);
    const b = rounded4(v128.load(p, 16), inverse);
    sum = i32x4.add(sum, i32x4.add(a, b));
    v128.store(out + ((<usize>i) << 1), i16x8.narrow_i32x4_s(a, b));
  }
  for (; i < group; i += 8) {
    const p = from + ((<usize>i) << 2);
    const a = quantized4(p, count - i, inverse);
    const b = quantized4(p + 16, count - i - 4, inverse);
    sum = i32x4.add(sum, i32x4.add(a, b));
    v128.store(out + ((<usize>i) << 1), i16x8.narrow_i32x4_s(a, b));
  }
  return sumInts(sum);
}

function quantized8(from: usize, out: usize, group: i32, count: i32, inverse: v128): i32 {
  let sum = i32x4.splat(0);
  let i: i32 = 0;
  for (; i + 16 <= count; i += 16) {
    const p = from + ((<usize>i) << 2);
    const a = rounded4(v128.load(p), inverse);
    const b = rounded4(v128.load(p, 16), inverse);
    const c = rounded4(v128.load(p, 32), inverse);
    const d = rounded4(v128.load(p, 48), inverse);
    sum = i32x4.add(sum, i32x4.add(i32x4.add(a, b), i32x4.add(c, d)));
    const ab = i16x8.narrow_i32x4_s(a, b);
    const cd = i16x8.narrow_i32x4_s(c, d);
    v128.store(out + <usize>i, i8x16.narrow_i16x8_s(ab, cd));
  }
  for (; i < group; i += 16) {
    const p = from + ((<usize>i) << 2);
    const a = quantized4(p, count - i, inverse);
    const b = quantized4(p + 16, count - i - 4, inverse);
    const c = quantized4(p + 32, count - i - 8, inverse);
    const d = quantized4(p + 48, count - i - 12, inverse);
    sum = i32x4.add(sum, i32x4.add(i32x4.add(a, b), i32x4.add(c, d)));
    const ab = i16x8.narrow_i32x4_s(a, b);
    const cd = i16x8.narrow_i32x4_s(c, d);
    v128.store(out + <usize>i, i8x16.narrow_i16x8_s(ab, cd));
  }
  return sumInts(sum);
}
