// WGSL that reads packed weights: memory `w` (words) and `params` (scales and offsets).
import type { WeightFormat } from '../../weights/packed_weight.js';

/** Integer arguments of kernels with weights. */
export const weightIntegers = ['pitch', 'group', 'groups', 'f16_params'] as const;

/** `vec2(scale, offset)` of a group from its word. */
const parameters = `
fn parameters_of(word: u32) -> vec2<f32> {
  if (args.f16_params != 0u) { return unpack2x16float(word); }
  return vec2<f32>(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
}`;

const decoded: Readonly<Record<WeightFormat, string>> = {
  f32: 'return bitcast<f32>(get_w(row * args.pitch + column));',
  bf16: `
  let word = get_w(row * args.pitch + column / 2u);
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (column & 1u) == 1u));`,
  f16: `
  let pair = unpack2x16float(get_w(row * args.pitch + column / 2u));
  return select(pair.x, pair.y, (column & 1u) == 1u);`,
  int8: `
  let code = (get_w(row * args.pitch + column / 4u) >> ((column & 3u) * 8u)) & 255u;
  let p = parameters_of(get_params(row * args.groups + column / args.group));
  return f32(code) * p.x + p.y;`,
  int4: `
  let code = (get_w(row * args.pitch + column / 8u) >> ((column & 7u) * 4u)) & 15u;
  let p = parameters_of(get_params(row * args.groups + column / args.group));
  return f32(code) * p.x + p.y;`,
};

/** `weight_at(row, column)`: a number of a weight whose memory `w` is words. */
export function weightAt(format: WeightFormat): string {
  return `${parameters}
fn weight_at(row: u32, column: u32) -> f32 { ${decoded[format]}
}`;
}

/** `unpacked(word)`: the numbers of a word, as an array, integers without scale and offset. */
const words: Readonly<Record<WeightFormat, string>> = {
  f32: 'fn unpacked(word: u32) -> array<f32, 1> { return array(bitcast<f32>(word)); }',
  bf16: `fn unpacked(word: u32) -> array<f32, 2> {
  return array(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
}`,
  f16: `fn unpacked(word: u32) -> array<f32, 2> {
  let pair = unpack2x16float(word);
  return array(pair.x, pair.y);
}`,
  int8: `fn unpacked(word: u32) -> array<f32, 4> {
  let v = vec4<f32>((vec4(word) >> vec4(0u, 8u, 16u, 24u)) & vec4(255u));
  return array(v.x, v.y, v.z, v.w);
}`,
  int4: `fn unpacked(word: u32) -> array<f32, 8> {
  let a = vec4<f32>((vec4(word) >> vec4(0u, 4u, 8u, 12u)) & vec4(15u));
  let b = vec4<f32>((vec4(word) >> vec4(16u, 20u, 24u, 28u)) & vec4(15u));
  return array(a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w);
}`,
};

export function unpackedWords(format: WeightFormat): string {
  return `${parameters}\n${words[format]}`;
}

/** Whether `eightWeights` reads `w` as `vec4<u32>`. */
export function readsVectors(format: WeightFormat): boolean {
  return format === 'f32' || format === 'bf16' || format === 'f16';
}

const eights: Readonly<Record<WeightFormat, string>> = {
  f32: `
  let at = (row * args.pitch + column) / 4u;
  var v = array<vec4<f32>, 2>();
  v[0] = bitcast<vec4<f32>>(get_w(at));
  // Rows are whole vectors, but an odd number of them has no second one.
  if (column + 4u < args.columns) { v[1] = bitcast<vec4<f32>>(get_w(at + 1u)); }
  return v;`,
  bf16: `
  let words = get_w((row * args.pitch + column / 2u) / 4u);
  let low = bitcast<vec4<f32>>(words << vec4(16u));
  let high = bitcast<vec4<f32>>(words & vec4(0xffff0000u));
  return array(vec4(low.x, high.x, low.y, high.y), vec4(low.z, high.z, low.w, high.w));`,
  f16: `
  let words = get_w((row * args.pitch + column / 2u) / 4u);
  return array(
    vec4(unpack2x16float(words.x), unpack2x16float(words.y)),
    vec4(unpack2x16float(words.z), unpack2x16float(words.w)),
  );`,
  int8: `
  let at = row * args.pitch + column / 4u;
  let p = parameters_of(get_params(row * args.groups + column / args.group));
  let shifts = vec4(0u, 8u, 16u, 24u);
  let a = vec4<f32>((vec4(get_w(at)) >> shifts) & vec4(255u));
  let b = vec4<f32>((vec4(get_w(at + 1u)) >> shifts) & vec4(255u));
  return array(a * p.x + p.y, b * p.x + p.y);`,
  int4: `
  let word = vec4(get_w(row * args.pitch + column / 8u));
  let p = parameters_of(get_params(row * args.groups + column / args.group));
  let a = vec4<f32>((word >> vec4(0u, 4u, 8u, 12u)) & vec4(15u));
  let b = vec4<f32>((word >> vec4(16u, 20u, 24u, 28u)) & vec4(15u));
  return array(a * p.x + p.y, b * p.x + p.y);`,
};

/** `eight_weights(row, column)`: 8 numbers of a row, from a multiple of 8 on, where rows are whole vectors. */
export function eightWeights(format: WeightFormat): string {
  return `${parameters}
fn eight_weights(row: u32, column: u32) -> array<vec4<f32>, 2> { ${eights[format]}
}`;
}
