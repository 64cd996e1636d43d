// y = activation(x w^T + bias) + residual for many rows, in tiles of 64 x 64 that are staged in workgroup
// memory as f32.
import type { WeightFormat } from '../../weights/packed_weight.js';
import type { Kernel } from './kernel.js';
import { weightAt, weightIntegers } from './weights.wgsl.js';
import { activations } from './wgsl.js';

/** Rows and features of a tile. */
export const TILE = 64;
/** Columns that are staged at a time. */
const DEPTH = 16;

export function matmulKernel(format: WeightFormat): Kernel {
  return {
    name: `matmul_${format}`,
    memory: {
      ...{ w: 'u32', params: 'u32' },
      ...{ x: 'f32', y: 'f32', bias: 'f32', residual: 'f32' },
    },
    writes: ['y'],
    inParts: ['w', 'params', 'x', 'y', 'residual'],
    integers: [
      ...['rows', 'features', 'columns', 'x_stride', 'y_stride', 'activation'],
      ...weightIntegers,
    ],
    floats: [],
    workgroup: 256,
    code: `
${activations}
${weightAt(format)}
const TILE = ${TILE}u;
const DEPTH = ${DEPTH}u;
var<workgroup> xs: array<f32, TILE * DEPTH>;
var<workgroup> ws: array<f32, TILE * DEPTH>;
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let first_feature = id.x * TILE;
  let first_row = id.y * TILE;
  let across = (li % 16u) * 4u;
  let down = (li / 16u) * 4u;
  var sum: array<vec4<f32>, 4>;
  for (var start = 0u; start < args.columns; start += DEPTH) {
    for (var i = li; i < TILE * DEPTH; i += WORKGROUP) {
      let column = start + i % DEPTH;
      let row = first_row + i / DEPTH;
      let feature = first_feature + i / DEPTH;
      let at = (i % DEPTH) * TILE + i / DEPTH;
      var xv = 0.0;
      var wv = 0.0;
      if (column < args.columns) {
        if (row < args.rows) { xv = get_x(row * args.x_stride + column); }
        if (feature < args.features) { wv = weight_at(feature, column); }
      }
      xs[at] = xv;
      ws[at] = wv;
    }
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
      let at = k * TILE + across;
      let w = vec4<f32>(ws[at], ws[at + 1u], ws[at + 2u], ws[at + 3u]);
      for (var r = 0u; r < 4u; r++) { sum[r] += xs[k * TILE + down + r] * w; }
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < 4u; r++) {
    let row = first_row + down + r;
    if (row >= args.rows) { continue; }
    for (var f = 0u; f < 4u; f++) {
      let feature = first_feature + across + f;
      if (feature >= args.features) { continue; }
      var v = activated(sum[r][f] + get_bias(feature), args.activation);
      if (has_residual) { v += get_residual(row * args.y_stride + feature); }
      set_y(row * args.y_stride + feature, v);
    }
  }
}`,
  };
}
