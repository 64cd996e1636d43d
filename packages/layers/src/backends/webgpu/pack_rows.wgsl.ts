// Rows of a matrix packed: f32, bf16 or f16 numbers to words of another format.
//
// Groups of integers have bf16 scales and offsets, the least number being the offset: value = code * scale +
// offset.
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

/** An invocation a group. */
export function packIntKernel(dtype: StoredDType, format: WeightFormat): Kernel {
  const bits = format === 'int8' ? 8 : 4;
  const perWord = 32 / bits;
  return {
    name: `pack_${dtype}_${format}`,
    memory: { source: 'u32', packed: 'u32', params: 'u32' },
    writes: ['packed', 'params'],
    inParts: ['source'],
    integers,
    floats: [],
    workgroup: 64,
    code: `
${sourceAt(dtype)}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
  let g = id.x;
  if (g >= args.groups) { return; }
  let first = g * args.group;
  let end = min(first + args.group, args.columns);
  for (var row = id.y; row < args.rows; row += count.y) {
    var least = source_at(row, first);
    var most = least;
    for (var column = first + 1u; column < end; column++) {
      let v = source_at(row, column);
      least = min(least, v);
      most = max(most, v);
    }
    let offset_bits = bf16_of(least);
    let offset = from_bf16(offset_bits);
    let scale_bits = bf16_of((most - offset) / ${2 ** bits - 1}.0);
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
