// The state-space scan as a recurrence. A workgroup has some channels of a head and walks the tokens; each
// invocation has every LANES-th number of a channel's state.
import type { Kernel } from './kernel.js';
import { activations } from './wgsl.js';

/** Invocations that share a channel. */
export const LANES = 8;

export const scanIntegers = [
  ...['length', 'heads', 'head_dim', 'd_state', 'groups'],
  ...['x_stride', 'b_stride', 'c_stride', 'dt_stride', 'y_stride'],
  ...['d_per_channel', 'dt_softplus'],
] as const;
export const scanFloats = ['dt_min', 'dt_max'] as const;

/** dt of a token and head as the scan uses it: bias, softplus, limits; NaN stays one. */
export const effectiveDt = `
fn effective_dt(token: u32, head: u32) -> f32 {
  var dt = get_dt(token * args.dt_stride + head) + get_dt_bias(head);
  if (args.dt_softplus != 0u) { dt = softplus(dt); }
  if (dt < args.dt_min) { dt = args.dt_min; }
  if (dt > args.dt_max) { dt = args.dt_max; }
  return dt;
}`;

/** @param channels of a workgroup */
export function scanKernel(dState: number, channels: number): Kernel {
  // A power of two, so that few kernels serve states of all sizes.
  const numbers = 2 ** Math.ceil(Math.log2(Math.max(1, dState / LANES)));
  return {
    name: `scan_${numbers}_${channels}`,
    memory: {
      ...{ x: 'f32', B: 'f32', C: 'f32', dt: 'f32', A: 'f32', D: 'f32', dt_bias: 'f32' },
      ...{ before: 'f32', after: 'f32', y: 'f32' },
    },
    writes: ['y', 'after'],
    integers: scanIntegers,
    floats: scanFloats,
    workgroup: LANES * channels,
    code: `
${activations}
${effectiveDt}
const LANES = ${LANES}u;
var<workgroup> partial: array<f32, WORKGROUP>;
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let head = id.y;
  let row = id.z;
  let channel = li / LANES;
  let lane = li % LANES;
  let p = id.x * ${channels}u + channel;
  let is_mine = p < args.head_dim;
  let group = head / (args.heads / args.groups);
  let at = ((row * args.heads + head) * args.head_dim + p) * args.d_state;
  var state: array<f32, ${numbers}>;
  for (var i = 0u; i < ${numbers}u; i++) {
    let n = lane + i * LANES;
    state[i] = 0.0;
    if (is_mine && n < args.d_state) { state[i] = get_before(at + n); }
  }
  let A = get_A(head);
  var D = 0.0;
  if (has_D && is_mine) { D = get_D(select(head, head * args.head_dim + p, args.d_per_channel != 0u)); }
  for (var t = 0u; t < args.length; t++) {
    let token = row * args.length + t;
    let dt = effective_dt(token, head);
    let decay = exp(dt * A);
    var x = 0.0;
    if (is_mine) { x = get_x(token * args.x_stride + head * args.head_dim + p); }
    let added = dt * x;
    var sum = 0.0;
    for (var i = 0u; i < ${numbers}u; i++) {
      let n = lane + i * LANES;
      if (n < args.d_state) {
        let s = state[i] * decay + added * get_B(token * args.b_stride + group * args.d_state + n);
        state[i] = s;
        sum += s * get_C(token * args.c_stride + group * args.d_state + n);
      }
    }
    partial[li] = sum;
    workgroupBarrier();
    if (lane == 0u && is_mine) {
      var total = D * x;
      for (var i = 0u; i < LANES; i++) { total += partial[li + i]; }
      set_y(token * args.y_stride + head * args.head_dim + p, total);
    }
    workgroupBarrier();
  }
  if (!has_after || !is_mine) { return; }
  for (var i = 0u; i < ${numbers}u; i++) {
    let n = lane + i * LANES;
    if (n < args.d_state) { set_after(at + n, state[i]); }
  }
}`,
  };
}
