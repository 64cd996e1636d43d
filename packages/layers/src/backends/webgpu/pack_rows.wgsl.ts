// Rows of a matrix packed: f32, bf16 or f16 numbers to words of another format.
//
// Groups of integers have bf16 scales and offsets: value = code * scale + offset. In int8 the offset is the least
// number; in int4 both have the least squared error.
import type { WeightFormat } from '../../weights/packed_weight.js';
import type { StoredDType } from '../../weights/packing.js';
import type { Kernel } from './kernel.js';

/** `source_at(row, column)`: a number of rows that lie end to end, as a file has them. */
const sources: Readonly<Record<StoredDType, string>> = {
  F32: 'return bitcast<f32>(get_source(i));',
  BF16: 'return bitcast<f32>(half << 16u);',
  F16: 'return unpack2x16float(half).x;',
};

function sourceAt(dtype: StoredDType): string {
  const half = 'let half = (get_source(i / 2u) >> ((i & 1u) * 16u)) & 0xffffu;';
  return `
fn source_at(row: u32, column: u32) -> f32 {
  let i = row * args.columns + column;
  ${dtype === 'F32' ? '' : half}
  ${sources[dtype]}
}
/** The nearest bf16, ties to even; NaN stays NaN. */
fn bf16_of(v: f32) -> u32 {
  let bits = bitcast<u32>(v);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x40u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}
fn from_bf16(bits: u32) -> f32 { return bitcast<f32>(bits << 16u); }
/** The nearest f16, ties to even; what pack2x16float rounds to differs from device to device. */
fn f16_of(v: f32) -> u32 {
  let bits = bitcast<u32>(v);
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return sign | 0x7e00u; }
  if (magnitude >= 0x47800000u) { return sign | 0x7c00u; }
  if (magnitude >= 0x38800000u) {
    return sign | ((magnitude + 0xfffu + ((magnitude >> 13u) & 1u) - 0x38000000u) >> 13u);
  }
  if (magnitude < 0x33000000u) { return sign; }
  let mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  let shift = 126u - (magnitude >> 23u);
  return sign | ((mantissa + (1u << (shift - 1u)) - 1u + ((mantissa >> shift) & 1u)) >> shift);
}`;
}

const integers = ['rows', 'columns', 'words', 'group', 'groups'] as const;

/** An invocation a word. */
export function packFloatKernel(dtype: StoredDType, format: 'f32' | 'bf16' | 'f16'): Kernel {
  const convert = format === 'bf16' ? 'bf16_of' : 'f16_of';
  return {
    name: `pack_${dtype}_${format}`,
    memory: { source: 'u32', packed: 'u32' },
    writes: ['packed'],
    inParts: ['source'],
    integers,
    floats: [],
    workgroup: 64,
    code: `
${sourceAt(dtype)}
fn number(row: u32, column: u32) -> f32 {
  if (column >= args.columns) { return 0.0; }
  return source_at(row, column);
}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
  let word = id.x;
  if (word >= args.words) { return; }
  for (var row = id.y; row < args.rows; row += count.y) {
    set_packed(row * args.words + word, ${
      format === 'f32'
        ? 'bitcast<u32>(number(row, word))'
        : `${convert}(number(row, 2u * word)) | (${convert}(number(row, 2u * word + 1u)) << 16u)`
    });
  }
}`,
  };
}

/**
 * Of int4: the scale above the offset, as bits, with the least weighted squared error. See fittest of the simd
 * kernels' pack_group.ts, which this follows step by step.
 */
const fittest = `
var<private> best: u32;
var<private> least: f32;
// Of the last attempt, weighted.
var<private> weight_sum: f32;
var<private> value_sum: f32;
var<private> code_sum: f32;
var<private> code_squares: f32;
var<private> code_products: f32;

fn total(v: vec4<f32>) -> f32 { return v.x + v.y + (v.z + v.w); }
fn weight_of(column: u32, end: u32) -> f32 {
  if (column >= end) { return 0.0; }
  return get_weights(column);
}
fn attempt(row: u32, first: u32, end: u32, parameters: u32, is_weighted: bool) -> f32 {
  let scale = from_bf16(parameters >> 16u);
  let offset = from_bf16(parameters & 0xffffu);
  var inverse = 0.0;
  if (scale > 0.0) { inverse = 1.0 / scale; }
  var errors = vec4<f32>();
  var counts = vec4<f32>();
  var sums = vec4<f32>();
  var quantized = vec4<f32>();
  var squares = vec4<f32>();
  var products = vec4<f32>();
  var weight = vec4<f32>(1.0);
  for (var at = first; at < end; at += 4u) {
    var v = vec4<f32>();
    // The last value is repeated, so that the range does not change.
    for (var i = 0u; i < 4u; i++) { v[i] = source_at(row, min(at + i, end - 1u)); }
    if (is_weighted) {
      for (var i = 0u; i < 4u; i++) { weight[i] = weight_of(at + i, end); }
    }
    let code = clamp(round((v - offset) * inverse), vec4<f32>(), vec4<f32>(15.0));
    let error = code * scale + offset - v;
    let weighted = weight * code;
    errors += weight * error * error;
    counts += weight;
    sums += weight * v;
    quantized += weighted;
    squares += weighted * code;
    products += weighted * v;
  }
  weight_sum = total(counts);
  value_sum = total(sums);
  code_sum = total(quantized);
  code_squares = total(squares);
  code_products = total(products);
  return total(errors);
}
fn keep_better(parameters: u32, error: f32) {
  if (error < least) {
    best = parameters;
    least = error;
  }
}
fn regress(row: u32, first: u32, end: u32, start: u32, is_weighted: bool) {
  var parameters = start;
  var error = attempt(row, first, end, parameters, is_weighted);
  keep_better(parameters, error);
  for (var i = 0; i < 2; i++) {
    let spread = weight_sum * code_squares - code_sum * code_sum;
    if (spread == 0.0) { return; }
    let scale = bf16_of((weight_sum * code_products - code_sum * value_sum) / spread);
    let offset = bf16_of((value_sum - from_bf16(scale) * code_sum) / weight_sum);
    parameters = (scale << 16u) | offset;
    let next = attempt(row, first, end, parameters, is_weighted);
    if (!(next < error)) { return; }
    error = next;
    keep_better(parameters, error);
  }
}
fn fittest(row: u32, first: u32, end: u32, ends: u32) -> u32 {
  var is_weighted = false;
  if (has_weights) {
    for (var column = first; column < end; column++) {
      is_weighted = is_weighted || get_weights(column) != 1.0;
    }
  }
  best = ends;
  least = bitcast<f32>(0x7f7fffffu);
  var grid = ends;
  for (var turn = 0; turn < 7; turn++) {
    // No shift first, then sixths of a step.
    let shift = select(turn - 4, turn - 3, turn > 3);
    if (turn > 0 && !is_weighted && abs(shift) != 2) { continue; }
    var start = ends;
    if (turn > 0) {
      let offset = from_bf16(grid & 0xffffu) + f32(shift) / 6.0 * from_bf16(grid >> 16u);
      start = (grid & 0xffff0000u) | bf16_of(offset);
    }
    regress(row, first, end, start, is_weighted);
    if (turn == 0) { grid = best; }
  }
  return best;
}
`;

/** An invocation a group. */
export function packIntKernel(dtype: StoredDType, format: WeightFormat): Kernel {
  const bits = format === 'int8' ? 8 : 4;
  const perWord = 32 / bits;
  return {
    name: `pack_${dtype}_${format}`,
    memory: { source: 'u32', packed: 'u32', params: 'u32', weights: 'f32' },
    writes: ['packed', 'params'],
    inParts: ['source'],
    integers,
    floats: [],
    workgroup: 64,
    code: `
${sourceAt(dtype)}
${bits === 4 ? fittest : ''}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
  let g = id.x;
  if (g >= args.groups) { return; }
  let first = g * args.group;
  let end = min(first + args.group, args.columns);
  for (var row = id.y; row < args.rows; row += count.y) {
    var least_value = source_at(row, first);
    var most_value = least_value;
    for (var column = first + 1u; column < end; column++) {
      let v = source_at(row, column);
      least_value = min(least_value, v);
      most_value = max(most_value, v);
    }
    var offset_bits = bf16_of(least_value);
    var scale_bits = bf16_of((most_value - from_bf16(offset_bits)) / ${2 ** bits - 1}.0);
    ${
      bits === 4
        ? `let found = fittest(row, first, end, (scale_bits << 16u) | offset_bits);
    offset_bits = found & 0xffffu;
    scale_bits = found >> 16u;`
        : ''
    }
    let offset = from_bf16(offset_bits);
    let scale = from_bf16(scale_bits);
    var inverse = 0.0;
    if (scale > 0.0) { inverse = 1.0 / scale; }
    set_params(row * args.groups + g, scale_bits | (offset_bits << 16u));
    for (var word = 0u; word < args.group / ${perWord}u; word++) {
      var codes = 0u;
      for (var i = 0u; i < ${perWord}u; i++) {
        let column = first + word * ${perWord}u + i;
        var v = offset;
        if (column < end) { v = source_at(row, column); }
        let code = u32(clamp(round((v - offset) * inverse), 0.0, ${2 ** bits - 1}.0));
        codes |= code << (i * ${bits}u);
      }
      set_packed(row * args.words + first / ${perWord}u + word, codes);
    }
  }
}`,
  };
}
