// The state-space scan in chunks of 64 tokens, as matrix multiplications (arXiv 2405.21060, section 6).
//
// Within a chunk, with s the running sum of dt A:
//   y[i] = sum over j <= i of exp(s[i] - s[j]) (C[i] . B[j]) dt[j] x[j]  +  exp(s[i]) state C[i]
// The products C B^T are those of all heads of a group: a launch of their own computes them.
import type { Kernel } from './kernel.js';
import { effectiveDt, scanFloats, scanIntegers } from './ssd_scan.wgsl.js';
import { TILE_WORKGROUP, tileDeclarations, tileFinish, tileSums } from './tile.wgsl.js';
import { activations, reductionDirectives, reductionParameters } from './wgsl.js';

/** Tokens of a chunk: one an invocation. */
export const CHUNK = 64;
/** Channels of a workgroup. */
export const CHANNELS = 8;

/** C B^T of each chunk and group: (batch, chunks, groups, CHUNK, CHUNK). Tokens after the last one give 0. */
export const chunkProductsKernel: Kernel = {
  name: 'chunk_products',
  memory: { B: 'f32', C: 'f32', products: 'f32' },
  writes: ['products'],
  integers: ['length', 'columns', 'groups', 'b_stride', 'c_stride'],
  floats: [],
  workgroup: TILE_WORKGROUP,
  code: `
const CHUNK = ${CHUNK}u;
${tileDeclarations(CHUNK)}
var<private> first_token: u32;
var<private> tokens: u32;
var<private> group_at: u32;
var<private> products_at: u32;
fn left4(i: u32, column: u32) -> vec4<f32> {
  var v = vec4<f32>();
  if (i >= tokens) { return v; }
  for (var k = 0u; k < 4u && column + k < args.columns; k++) {
    v[k] = get_C((first_token + i) * args.c_stride + group_at + column + k);
  }
  return v;
}
fn right8(j: u32, column: u32) -> array<vec4<f32>, 2> {
  var v = array<vec4<f32>, 2>();
  if (j >= tokens) { return v; }
  for (var k = 0u; k < 8u && column + k < args.columns; k++) {
    v[k / 4u][k % 4u] = get_B((first_token + j) * args.b_stride + group_at + column + k);
  }
  return v;
}
fn finish(i: u32, j: u32, sum: f32) { set_products(products_at + i * CHUNK + j, sum); }
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
  first_token = id.z * args.length + id.x * CHUNK;
  tokens = min(CHUNK, args.length - id.x * CHUNK);
  group_at = id.y * args.columns;
  ${tileSums(CHUNK)}
  products_at = ((id.z * count.x + id.x) * args.groups + id.y) * CHUNK * CHUNK;
  ${tileFinish(CHUNK)}
}`,
};

/** Decays below exp(this) are 0 beside what follows; larger sums would cost the digits of others. */
const LEAST_DECAY = -20;

/**
 * `own_sums(rate, ...)`: the sums of the rates up to an invocation's token, its own included, and after it. It
 * leaves them in `rates` without subgroups; with subgroups only their totals pass through workgroup memory, each
 * at a place of its own, as in `reduction`.
 */
function ownSums(hasSubgroups: boolean): string {
  return hasSubgroups
    ? `
fn own_sums(rate: f32, li: u32, lane: u32) -> vec2<f32> {
  let up_to = subgroupInclusiveAdd(rate);
  let total = subgroupAdd(rate);
  if (li % 4u == 0u) { rates[li / 4u] = select(0.0, total, lane == 0u); }
  workgroupBarrier();
  var sums = vec2(up_to, total - up_to);
  let mine = (li - lane) / 4u;
  for (var i = 0u; i < mine; i++) { sums.x += rates[i]; }
  for (var i = mine + 1u; i < CHUNK / 4u; i++) { sums.y += rates[i]; }
  return sums;
}`
    : `
fn own_sums(rate: f32, li: u32) -> vec2<f32> {
  rates[li] = rate;
  workgroupBarrier();
  var sums = vec2<f32>();
  for (var j = 0u; j <= li; j++) { sums.x += rates[j]; }
  for (var j = li + 1u; j < CHUNK; j++) { sums.y += rates[j]; }
  return sums;
}`;
}

/** A workgroup has some channels of a head and walks the chunks. An invocation has a token, then numbers of the state. */
export function scanChunksKernel(dState: number, hasSubgroups: boolean): Kernel {
  const perInvocation = Math.ceil(dState / CHUNK);
  const numbers = Array.from({ length: perInvocation }, (_, i) => i);
  return {
    name: `scan_chunks_${perInvocation}`,
    memory: {
      ...{ x: 'f32', B: 'f32', C: 'f32', dt: 'f32', A: 'f32', D: 'f32', dt_bias: 'f32' },
      ...{ before: 'f32', after: 'f32', y: 'f32', products: 'f32' },
    },
    writes: ['y', 'after'],
    integers: scanIntegers,
    floats: scanFloats,
    workgroup: CHUNK,
    directives: reductionDirectives(hasSubgroups),
    code: `
${activations}
${effectiveDt}
const CHUNK = ${CHUNK}u;
const CHANNELS = ${CHANNELS}u;
/** dt A of each token, or of the tokens of each subgroup. */
var<workgroup> rates: array<f32, CHUNK>;
${ownSums(hasSubgroups)}
/** Of each token: the sum of dt A up to it, dt times its channels, and these times the decay to the end of the chunk. */
var<workgroup> sums: array<f32, CHUNK>;
var<workgroup> inputs: array<vec4<f32>, 2u * CHUNK>;
var<workgroup> decayed: array<vec4<f32>, 2u * CHUNK>;
/** The state's channels by number, before the chunk. */
var<workgroup> state: array<vec4<f32>, ${2 * CHUNK * perInvocation}>;
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, ${reductionParameters(hasSubgroups)}) {
  let head = id.y;
  let row = id.z;
  let group = head / (args.heads / args.groups);
  let first = id.x * CHANNELS;
  let channels = min(CHANNELS, args.head_dim - first);
  let state_at = ((row * args.heads + head) * args.head_dim + first) * args.d_state;
  ${numbers.map((i) => `var own${i}_0 = vec4<f32>(); var own${i}_1 = vec4<f32>();`).join('\n  ')}
  for (var p = 0u; p < channels; p++) {
    ${numbers
      .map(
        (i) => `if (li + ${i}u * CHUNK < args.d_state) {
      let v = get_before(state_at + p * args.d_state + li + ${i}u * CHUNK);
      if (p < 4u) { own${i}_0[p] = v; } else { own${i}_1[p - 4u] = v; }
    }`,
      )
      .join('\n    ')}
  }
  let A = get_A(head);
  let chunks = (args.length + CHUNK - 1u) / CHUNK;
  for (var chunk = 0u; chunk < chunks; chunk++) {
    let tokens = min(CHUNK, args.length - chunk * CHUNK);
    let first_token = row * args.length + chunk * CHUNK;
    let token = first_token + li;
    let is_token = li < tokens;
    // Tokens after the last one neither decay nor add.
    var dt = 0.0;
    var x0 = vec4<f32>();
    var x1 = vec4<f32>();
    if (is_token) {
      dt = effective_dt(token, head);
      let at = token * args.x_stride + head * args.head_dim + first;
      for (var p = 0u; p < channels; p++) {
        if (p < 4u) { x0[p] = get_x(at + p); } else { x1[p - 4u] = get_x(at + p); }
      }
    }
    ${numbers
      .map(
        (i) =>
          `state[2u * (li + ${i}u * CHUNK)] = own${i}_0; state[2u * (li + ${i}u * CHUNK) + 1u] = own${i}_1;`,
      )
      .join('\n    ')}
    let own = own_sums(max(dt * A, ${LEAST_DECAY.toFixed(1)}), li${hasSubgroups ? ', lane' : ''});
    let s = own.x;
    let rest = own.y;
    sums[li] = s;
    inputs[2u * li] = dt * x0;
    inputs[2u * li + 1u] = dt * x1;
    decayed[2u * li] = exp(rest) * dt * x0;
    decayed[2u * li + 1u] = exp(rest) * dt * x1;
    workgroupBarrier();
    if (is_token) {
      // What was before the chunk.
      var y0 = vec4<f32>();
      var y1 = vec4<f32>();
      let c_at = token * args.c_stride + group * args.d_state;
      for (var n = 0u; n < args.d_state; n++) {
        let c = get_C(c_at + n);
        y0 += c * state[2u * n];
        y1 += c * state[2u * n + 1u];
      }
      y0 *= exp(s);
      y1 *= exp(s);
      // The tokens of the chunk.
      let products_at = (((row * chunks + chunk) * args.groups + group) * CHUNK + li) * CHUNK;
      for (var j = 0u; j <= li; j++) {
        let weight = get_products(products_at + j) * exp(s - sums[j]);
        y0 += weight * inputs[2u * j];
        y1 += weight * inputs[2u * j + 1u];
      }
      let y_at = token * args.y_stride + head * args.head_dim + first;
      for (var p = 0u; p < channels; p++) {
        var x = x0[p % 4u];
        var y = y0[p % 4u];
        if (p >= 4u) { x = x1[p % 4u]; y = y1[p % 4u]; }
        if (has_D) { y += x * get_D(select(head, head * args.head_dim + first + p, args.d_per_channel != 0u)); }
        set_y(y_at + p, y);
      }
    }
    // The state after the chunk.
    let decay = exp(sums[CHUNK - 1u]);
    ${numbers.map((i) => `own${i}_0 *= decay; own${i}_1 *= decay;`).join('\n    ')}
    for (var j = 0u; j < tokens; j++) {
      let x0 = decayed[2u * j];
      let x1 = decayed[2u * j + 1u];
      let b_at = (first_token + j) * args.b_stride + group * args.d_state + li;
      ${numbers
        .map(
          (i) => `if (li + ${i}u * CHUNK < args.d_state) {
        let b = get_B(b_at + ${i}u * CHUNK);
        own${i}_0 += b * x0;
        own${i}_1 += b * x1;
      }`,
        )
        .join('\n      ')}
    }
    workgroupBarrier();
  }
  if (!has_after) { return; }
  for (var p = 0u; p < channels; p++) {
    ${numbers
      .map(
        (i) => `if (li + ${i}u * CHUNK < args.d_state) {
      var v = own${i}_0[p % 4u];
      if (p >= 4u) { v = own${i}_1[p % 4u]; }
      set_after(state_at + p * args.d_state + li + ${i}u * CHUNK, v);
    }`,
      )
      .join('\n    ')}
  }
}`,
  };
}
