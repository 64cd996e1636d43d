// y = activation(norm(x) w^T + bias) + residual for few rows of x, as in decode. Bound by memory bandwidth.
//
// A workgroup computes FEATURES features. Its invocations read the words of their weights interleaved, unpack each
// word once and multiply it by every row of x. The norm of x and the causal convolution of some features are
// fused.
import { isIntFormat, type WeightFormat } from '../../weights/packed_weight.js';
import type { Element, Kernel } from './kernel.js';
import { perWord } from './layout.js';
import { unpackedWords, weightIntegers } from './weights.wgsl.js';
import {
  activations,
  reduction,
  reductionDirectives,
  reductionParameters,
  workgroupSum,
} from './wgsl.js';

/** Features of a workgroup. */
export const FEATURES = 4;
/** The most rows of x. */
export const MOST_ROWS = 8;
/** The most groups of columns that the norm in this kernel takes. */
export const MOST_NORM_GROUPS = 16;

export interface MatvecVariant {
  format: WeightFormat;
  /** 1, 2, 4 or 8. */
  rows: number;
  /** Words that an invocation reads at a time: 4, or 1 for rows that are no multiple of 16 bytes. */
  words: 1 | 4;
  hasNorm: boolean;
  hasConv: boolean;
  hasSubgroups: boolean;
  /** Invocations of a workgroup. */
  workgroup: number;
}

const plainMemory: Kernel['memory'] = { x: 'f32', y: 'f32', bias: 'f32', residual: 'f32' };
const normMemory: Kernel['memory'] = { norm_weight: 'f32', z: 'f32' };
const convMemory: Kernel['memory'] = {
  ...{ conv_weight: 'f32', conv_bias: 'f32', before: 'f32', after: 'f32' },
};

export function matvecKernel(variant: MatvecVariant): Kernel {
  const { format, rows, words, hasNorm, hasConv, hasSubgroups, workgroup } = variant;
  const isInt = isIntFormat(format);
  const word: Element = words === 4 ? 'vec4<u32>' : 'u32';
  return {
    name: `matvec_${format}_${rows}_${words}${hasNorm ? '_norm' : ''}${hasConv ? '_conv' : ''}`,
    memory: {
      w: word,
      // As the same elements they share the weight's binding: a device may have only 8 bindings.
      ...(isInt ? { params: word } : {}),
      ...plainMemory,
      ...(hasNorm ? normMemory : {}),
      ...(hasConv ? convMemory : {}),
    },
    writes: hasConv ? ['y', 'after'] : ['y'],
    inParts: ['w', 'params', 'x', 'y', 'residual'],
    integers: [
      ...['rows', 'features', 'columns', 'x_stride', 'y_stride', 'activation'],
      ...[...weightIntegers, 'params_skip'],
      ...['z_stride', 'group_size', 'norm_before_gate'],
      ...['conv_first', 'conv_channels', 'conv_width'],
    ],
    floats: ['eps'],
    workgroup,
    directives: reductionDirectives(hasSubgroups),
    code: `
${activations}
${unpackedWords(format)}
${reduction(hasSubgroups)}
${isInt ? (words === 4 ? paramsOfVectors : paramsOfWords) : ''}
const ROWS = ${rows}u;
const FEATURES = ${FEATURES}u;
const WORDS = ${words}u;
const PER_WORD = ${perWord[format]}u;
const COLUMNS = WORDS * PER_WORD;
${hasNorm ? normFunctions : plainInput}
${hasConv ? convolution : ''}
/** Partial sums of a feature and row. With subgroups, their places are as in workgroup_sum. */
const PARTS = WORKGROUP / ${hasSubgroups ? 4 : 1}u;
var<workgroup> sums: array<f32, PARTS * FEATURES * ROWS>;
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
        ${reductionParameters(hasSubgroups)}) {
  let first = (id.y * count.x + id.x) * FEATURES;
  if (first >= args.features) { return; }
  ${hasNorm ? normScales(hasSubgroups) : ''}
  var sum: array<array<f32, ROWS>, FEATURES>;
  let chunks = (args.columns + COLUMNS - 1u) / COLUMNS;
  for (var chunk = li; chunk < chunks; chunk += WORKGROUP) {
    let start = chunk * COLUMNS;
    ${isInt ? 'let group = start / args.group;' : ''}
    var words: array<${words === 4 ? 'vec4<u32>' : 'u32'}, FEATURES>;
    ${isInt ? 'var params: array<vec2<f32>, FEATURES>;' : ''}
    for (var f = 0u; f < FEATURES; f++) {
      let feature = min(first + f, args.features - 1u);
      words[f] = get_w(feature * (args.pitch / WORDS) + chunk);
      ${isInt ? 'params[f] = parameters_of(params_word(feature * args.groups + group));' : ''}
    }
    for (var word = 0u; word < WORDS; word++) {
      let column = start + word * PER_WORD;
      var x: array<array<f32, PER_WORD>, ROWS>;
      ${isInt ? 'var total: array<f32, ROWS>;' : ''}
      for (var r = 0u; r < ROWS; r++) {
        ${isInt ? 'total[r] = 0.0;' : ''}
        for (var i = 0u; i < PER_WORD; i++) {
          var v = 0.0;
          if (r < args.rows && column + i < args.columns) { v = input(r, column + i); }
          x[r][i] = v;
          ${isInt ? 'total[r] += v;' : ''}
        }
      }
      for (var f = 0u; f < FEATURES; f++) {
        let w = unpacked(words[f]${words === 4 ? '[word]' : ''});
        for (var r = 0u; r < ROWS; r++) {
          var dot = 0.0;
          for (var i = 0u; i < PER_WORD; i++) { dot += w[i] * x[r][i]; }
          sum[f][r] += ${isInt ? 'params[f].x * dot + params[f].y * total[r]' : 'dot'};
        }
      }
    }
  }
  for (var f = 0u; f < FEATURES; f++) {
    for (var r = 0u; r < ROWS; r++) {
      let at = (f * ROWS + r) * PARTS;
      ${
        hasSubgroups
          ? 'let s = subgroupAdd(sum[f][r]); if (li % 4u == 0u) { sums[at + li / 4u] = select(0.0, s, lane == 0u); }'
          : 'sums[at + li] = sum[f][r];'
      }
    }
  }
  workgroupBarrier();
  for (var at = li; at < FEATURES * ROWS; at += WORKGROUP) {
    let feature = first + at / ROWS;
    let r = at % ROWS;
    if (feature >= args.features || r >= args.rows) { continue; }
    var v = get_bias(feature);
    for (var i = 0u; i < PARTS; i++) { v += sums[at * PARTS + i]; }
    ${hasConv ? 'v = convolved(feature, r, v);' : ''}
    v = activated(v, args.activation);
    if (has_residual) { v += get_residual(r * args.y_stride + feature); }
    set_y(r * args.y_stride + feature, v);
  }
}`,
  };
}

const paramsOfWords = 'fn params_word(i: u32) -> u32 { return get_params(i); }';

const paramsOfVectors = `
fn params_word(i: u32) -> u32 {
  let at = i + args.params_skip;
  return get_params(at / 4u)[at % 4u];
}`;

const plainInput =
  'fn input(row: u32, column: u32) -> f32 { return get_x(row * args.x_stride + column); }';

const normFunctions = `
var<workgroup> scales: array<f32, ROWS * ${MOST_NORM_GROUPS}u>;
/** What is normalised. */
fn gated(row: u32, column: u32) -> f32 {
  let v = get_x(row * args.x_stride + column);
  if (has_z && args.norm_before_gate == 0u) { return v * silu(get_z(row * args.z_stride + column)); }
  return v;
}
fn input(row: u32, column: u32) -> f32 {
  var v = gated(row, column);
  if (has_norm_weight) {
    v *= scales[row * ${MOST_NORM_GROUPS}u + column / args.group_size] * get_norm_weight(column);
  }
  if (has_z && args.norm_before_gate != 0u) { v *= silu(get_z(row * args.z_stride + column)); }
  return v;
}`;

function normScales(hasSubgroups: boolean): string {
  return `
  if (has_norm_weight) {
    for (var r = 0u; r < args.rows; r++) {
      for (var g = 0u; g < args.columns / args.group_size; g++) {
        var squares = 0.0;
        for (var i = li; i < args.group_size; i += WORKGROUP) {
          let v = gated(r, g * args.group_size + i);
          squares += v * v;
        }
        let mean = ${workgroupSum(hasSubgroups, 'squares')} / f32(args.group_size);
        if (li == 0u) { scales[r * ${MOST_NORM_GROUPS}u + g] = 1.0 / sqrt(mean + args.eps); }
      }
    }
    workgroupBarrier();
  }`;
}

const convolution = `
/** Adds the feature to its window; the result is that of the convolution and SiLU, of features that have one. */
fn convolved(feature: u32, row: u32, v: f32) -> f32 {
  if (feature < args.conv_first || feature >= args.conv_first + args.conv_channels) { return v; }
  let c = feature - args.conv_first;
  var sum = get_conv_bias(c);
  for (var i = 0u; i < args.conv_width; i++) {
    var input = v;
    if (i + 1u < args.conv_width) {
      input = get_before((row * args.conv_width + i + 1u) * args.conv_channels + c);
    }
    set_after((row * args.conv_width + i) * args.conv_channels + c, input);
    sum += get_conv_weight(c * args.conv_width + i) * input;
  }
  return silu(sum);
}`;
