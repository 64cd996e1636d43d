// Quantises a group of one row: its scale, offset and values, and their position in a panel.
import { signFlip } from '../matmul/byte_dots';
import { fromBf16, toBf16 } from '../shared/halves';
import { madd, sumLanes } from '../shared/math';

/** Position of row r, column k of a group: its byte for int8, the byte of its nibble for int4. */
export function placeInt8(r: usize, k: usize): usize {
  return ((k >> 2) << 5) + (r << 2) + (k & 3);
}
export function placeInt4(r: usize, k: usize): usize {
  return ((k >> 3) << 5) + (r << 2) + (k & 3);
}

/**
 * Chooses the scale and the offset of a group of one row and writes its quantised values.
 *
 * @param weights of the columns' squared errors in int4, f32; 0 if all are 1
 */
export function packGroup(
  values: usize,
  count: usize,
  group: usize,
  bits: i32,
  out: usize,
  r: usize,
  weights: usize,
): void {
  const last = <f32>((1 << bits) - 1);
  const padded = (count + 3) & ~3;
  // The padding at the end repeats the last value, so that the range does not change.
  for (let i = count; i < padded; i++) {
    store<f32>(values + (i << 2), load<f32>(values + ((count - 1) << 2)));
  }
  let low4 = v128.load(values);
  let high4 = low4;
  for (let i: usize = 4; i < padded; i += 4) {
    const v = v128.load(values + (i << 2));
    low4 = f32x4.min(low4, v);
    high4 = f32x4.max(high4, v);
  }
  let low = f32x4.extract_lane(low4, 0);
  let high = f32x4.extract_lane(high4, 0);
  low = min(low, f32x4.extract_lane(low4, 1));
  low = min(low, f32x4.extract_lane(low4, 2));
  low = min(low, f32x4.extract_lane(low4, 3));
  high = max(high, f32x4.extract_lane(high4, 1));
  high = max(high, f32x4.extract_lane(high4, 2));
  high = max(high, f32x4.extract_lane(high4, 3));

  // The scale above the offset, as bits.
  let found: u32;
  if (bits === 8) found = ends(low, high, last);
  else if (weights === 0) found = fittest(values, padded, low, high, last);
  else found = weightedFittest(values, count, low, high, last, weights);
  const scaleBits = <u16>(found >> 16);
  const offsetBits = <u16>found;
  const scale = fromBf16(scaleBits);
  const offset = fromBf16(offsetBits);
  const inverse = scale > 0 ? <f32>1 / scale : <f32>0;
  const flip = signFlip();
  // Four columns of a row are adjacent. Padding is multiplied by zeros.
  for (let i: usize = 0; i < padded; i += 4) {
    const v = f32x4.sub(v128.load(values + (i << 2)), f32x4.splat(offset));
    const position = f32x4.nearest(f32x4.mul(v, f32x4.splat(inverse)));
    const clamped = f32x4.pmax(f32x4.pmin(position, f32x4.splat(last)), f32x4.splat(0));
    const quantized = i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(clamped), i32x4.splat(0));
    const word = i32x4.extract_lane(i8x16.narrow_i16x8_u(quantized, quantized), 0);
    if (bits === 8) {
      store<u32>(out + placeInt8(r, i), <u32>word ^ flip);
    } else {
      const at = out + placeInt4(r, i);
      store<i32>(at, load<i32>(at) | (word << (<i32>(i & 4))));
    }
  }
  const parameters = out + group * <usize>bits + (r << 1);
  store<u16>(parameters, scaleBits);
  store<u16>(parameters, offsetBits, 16);
}

/** The scale and the offset that map `low` to 0 and `high` to the maximum. */
function ends(low: f32, high: f32, last: f32): u32 {
  const offset = toBf16(low);
  return ((<u32>toBf16((high - fromBf16(offset)) / last)) << 16) | offset;
}

/**
 * Minimises the squared error over some candidates for scale and offset: those that map the ends of the
 * group to the first and last values; least-squares fits from there; and fits from that grid shifted by a
 * third of a step either way, since the first fits often end in a poorer minimum.
 */
function fittest(values: usize, count: usize, low: f32, high: f32, last: f32): u32 {
  best = ends(low, high, last);
  least = Infinity;
  valueSum = sumOf(values, count);
  regress(values, count, best, last);
  const grid = best;
  for (let side: f32 = -1; side <= 1; side += 2) {
    const offset = fromBf16(<u16>grid) + (side / 3) * fromBf16(<u16>(grid >> 16));
    regress(values, count, (grid & 0xffff0000) | toBf16(offset), last);
  }
  return best;
}

/**
 * fittest for a weighted squared error. A large weight pulls the grid onto its column's value, which may
 * take a shift of up to half a step: more shifts are tried.
 */
function weightedFittest(
  values: usize,
  count: usize,
  low: f32,
  high: f32,
  last: f32,
  weights: usize,
): u32 {
  best = ends(low, high, last);
  least = Infinity;
  weightedRegress(values, count, best, last, weights);
  const grid = best;
  for (let shift: i32 = -WEIGHTED_SHIFTS; shift <= WEIGHTED_SHIFTS; shift++) {
    if (shift === 0) continue;
    const step = fromBf16(<u16>(grid >> 16));
    const offset = fromBf16(<u16>grid) + (<f32>shift / (<f32>2 * <f32>WEIGHTED_SHIFTS)) * step;
    weightedRegress(values, count, (grid & 0xffff0000) | toBf16(offset), last, weights);
  }
  return best;
}

const WEIGHTED_SHIFTS: i32 = 3;

/** regress for a weighted squared error. */
function weightedRegress(
  values: usize,
  count: usize,
  parameters: u32,
  last: f32,
  weights: usize,
): void {
  let error = Infinity;
  for (let i: i32 = 0; i <= REGRESSIONS; i++) {
    const scale = fromBf16(<u16>(parameters >> 16));
    const offset = fromBf16(<u16>parameters);
    const inverse = scale > 0 ? <f32>1 / scale : <f32>0;
    let next: f64 = 0;
    let n: f64 = 0;
    let codes: f64 = 0;
    let squares: f64 = 0;
    let products: f64 = 0;
    let sum: f64 = 0;
    for (let k: usize = 0; k < count; k++) {
      const v = load<f32>(values + (k << 2));
      const w = <f64>load<f32>(weights + (k << 2));
      const code = <f64>max<f32>(min<f32>(nearest<f32>((v - offset) * inverse), last), 0);
      const difference = code * <f64>scale + <f64>offset - <f64>v;
      next += w * difference * difference;
      n += w;
      codes += w * code;
      squares += w * code * code;
      products += w * code * <f64>v;
      sum += w * <f64>v;
    }
    if (!(next < error)) return;
    error = next;
    keepBetter(parameters, <f32>error);
    const spread = n * squares - codes * codes;
    if (spread === 0) return;
    const fitted = toBf16(<f32>((n * products - codes * sum) / spread));
    const shifted = toBf16(<f32>((sum - <f64>fromBf16(fitted) * codes) / n));
    parameters = ((<u32>fitted) << 16) | shifted;
  }
}

/** One more iteration gains a hundredth. */
const REGRESSIONS: i32 = 2;

let best: u32 = 0;
let least: f32 = Infinity;

function keepBetter(parameters: u32, error: f32): void {
  if (!(error < least)) return;
  best = parameters;
  least = error;
}

/** Alternates rounding and least-squares fitting while the error decreases. */
function regress(values: usize, count: usize, parameters: u32, last: f32): void {
  let error = tryParameters(values, count, parameters, last);
  keepBetter(parameters, error);
  for (let i: i32 = 0; i < REGRESSIONS; i++) {
    const n = <f32>count;
    const spread = n * codeSquares - codeSum * codeSum;
    if (spread === 0) return;
    const scale = toBf16((n * codeProducts - codeSum * valueSum) / spread);
    parameters = ((<u32>scale) << 16) | toBf16((valueSum - fromBf16(scale) * codeSum) / n);
    const next = tryParameters(values, count, parameters, last);
    if (!(next < error)) return;
    error = next;
    keepBetter(parameters, error);
  }
}

/** The sum of the group's values. */
let valueSum: f32 = 0;
// Of the last tryParameters: sums of the quantised values, of their squares, and of their products with the
// values.
let codeSum: f32 = 0;
let codeSquares: f32 = 0;
let codeProducts: f32 = 0;

function sumOf(values: usize, count: usize): f32 {
  let sum = f32x4.splat(0);
  for (let i: usize = 0; i < count; i += 4) sum = f32x4.add(sum, v128.load(values + (i << 2)));
  return sumLanes(sum);
}

/** The squared error of a group with this scale and offset. */
function tryParameters(values: usize, count: usize, parameters: u32, last: f32): f32 {
  const s = fromBf16(<u16>(parameters >> 16));
  const scale = f32x4.splat(s);
  const offset = f32x4.splat(fromBf16(<u16>parameters));
  const inverse = f32x4.splat(s > 0 ? <f32>1 / s : <f32>0);
  let errors = f32x4.splat(0);
  let quantized = errors;
  let squares = errors;
  let products = errors;
  for (let i: usize = 0; i < count; i += 4) {
    const v = v128.load(values + (i << 2));
    let code = f32x4.nearest(f32x4.mul(f32x4.sub(v, offset), inverse));
    code = f32x4.pmax(f32x4.pmin(code, f32x4.splat(last)), f32x4.splat(0));
    const error = f32x4.sub(madd(code, scale, offset), v);
    errors = madd(error, error, errors);
    quantized = f32x4.add(quantized, code);
    squares = madd(code, code, squares);
    products = madd(code, v, products);
  }
  codeSum = sumLanes(quantized);
  codeSquares = sumLanes(squares);
  codeProducts = sumLanes(products);
  return sumLanes(errors);
}
