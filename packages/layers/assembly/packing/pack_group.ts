// Quantises a group of one row: its scale, offset and values, and their position in a panel.
import { signFlip } from '../matmul/byte_dots';
import { fromBf16, toBf16 } from '../shared/halves';
import { sumLanes } from '../shared/math';

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
  else found = fittest(values, padded, low, high, last, weights);
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
 * third of a step either way, since the first fits often end in a poorer minimum. A large weight pulls the
 * grid onto its column's value, which may take a shift of up to half a step: then sixths are tried.
 *
 * The backends webgpu and cuda do the same, with sums in four lanes and products rounded before they are
 * added, so that all quantise a matrix to the same bytes.
 */
function fittest(values: usize, count: usize, low: f32, high: f32, last: f32, weights: usize): u32 {
  best = ends(low, high, last);
  least = Infinity;
  regress(values, count, best, last, weights);
  const grid = best;
  const by: i32 = weights === 0 ? 2 : 1;
  for (let shift: i32 = weights === 0 ? -2 : -3; shift <= 3; shift += by) {
    if (shift === 0) continue;
    const offset = fromBf16(<u16>grid) + (<f32>shift / <f32>6) * fromBf16(<u16>(grid >> 16));
    regress(values, count, (grid & 0xffff0000) | toBf16(offset), last, weights);
  }
  return best;
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
function regress(values: usize, count: usize, parameters: u32, last: f32, weights: usize): void {
  let error = tryParameters(values, count, parameters, last, weights);
  keepBetter(parameters, error);
  for (let i: i32 = 0; i < REGRESSIONS; i++) {
    const n = weightSum;
    const spread = n * codeSquares - codeSum * codeSum;
    if (spread === 0) return;
    const scale = toBf16((n * codeProducts - codeSum * valueSum) / spread);
    parameters = ((<u32>scale) << 16) | toBf16((valueSum - fromBf16(scale) * codeSum) / n);
    const next = tryParameters(values, count, parameters, last, weights);
    if (!(next < error)) return;
    error = next;
    keepBetter(parameters, error);
  }
}

// Of the last tryParameters, weighted: the number of values; sums of the values, of the quantised values, of their
// squares, and of their products with the values.
let weightSum: f32 = 0;
let valueSum: f32 = 0;
let codeSum: f32 = 0;
let codeSquares: f32 = 0;
let codeProducts: f32 = 0;

/** The squared error of a group with this scale and offset. */
function tryParameters(
  values: usize,
  count: usize,
  parameters: u32,
  last: f32,
  weights: usize,
): f32 {
  const s = fromBf16(<u16>(parameters >> 16));
  const scale = f32x4.splat(s);
  const offset = f32x4.splat(fromBf16(<u16>parameters));
  const inverse = f32x4.splat(s > 0 ? <f32>1 / s : <f32>0);
  let errors = f32x4.splat(0);
  let counts = errors;
  let sums = errors;
  let quantized = errors;
  let squares = errors;
  let products = errors;
  let weight = f32x4.splat(1);
  for (let i: usize = 0; i < count; i += 4) {
    const v = v128.load(values + (i << 2));
    let code = f32x4.nearest(f32x4.mul(f32x4.sub(v, offset), inverse));
    code = f32x4.pmax(f32x4.pmin(code, f32x4.splat(last)), f32x4.splat(0));
    const error = f32x4.sub(f32x4.add(f32x4.mul(code, scale), offset), v);
    if (weights !== 0) weight = v128.load(weights + (i << 2));
    const weighted = f32x4.mul(weight, code);
    errors = f32x4.add(errors, f32x4.mul(f32x4.mul(weight, error), error));
    counts = f32x4.add(counts, weight);
    sums = f32x4.add(sums, f32x4.mul(weight, v));
    quantized = f32x4.add(quantized, weighted);
    squares = f32x4.add(squares, f32x4.mul(weighted, code));
    products = f32x4.add(products, f32x4.mul(weighted, v));
  }
  weightSum = sumLanes(counts);
  valueSum = sumLanes(sums);
  codeSum = sumLanes(quantized);
  codeSquares = sumLanes(squares);
  codeProducts = sumLanes(products);
  return sumLanes(errors);
}
