// y = activation(x w^T + bias) + residual for many rows, in tiles of 64 features and 32 or 64 rows.
import type { WeightFormat } from '../../weights/packed_weight.js';
import type { Kernel } from './kernel.js';
import {
  TILE_FEATURES,
  TILE_WORKGROUP,
  type TileRows,
  tileDeclarations,
  tileFinish,
  tileSums,
} from './tile.wgsl.js';
import { eightWeights, readsVectors, weightAt, weightIntegers } from './weights.wgsl.js';
import { activations } from './wgsl.js';

export interface MatmulVariant {
  format: WeightFormat;
  rows: TileRows;
  /** Whether x is read 4 numbers at a time, and weights as many as they lie in 16 bytes. */
  isVector: boolean;
}

export function matmulKernel({ format, rows, isVector }: MatmulVariant): Kernel {
  return {
    name: `matmul_${format}_${rows}${isVector ? '_4' : ''}`,
    memory: {
      w: isVector && readsVectors(format) ? 'vec4<u32>' : 'u32',
      params: 'u32',
      x: isVector ? 'vec4<f32>' : 'f32',
      ...{ y: 'f32', bias: 'f32', residual: 'f32' },
    },
    writes: ['y'],
    inParts: ['w', 'params', 'x', 'y', 'residual'],
    integers: [
      ...['rows', 'features', 'columns', 'x_stride', 'y_stride', 'activation'],
      ...weightIntegers,
    ],
    floats: [],
    workgroup: TILE_WORKGROUP,
    code: `
${activations}
${isVector ? eightWeights(format) : weightAt(format)}
${tileDeclarations(rows)}
var<private> first_row: u32;
var<private> first_feature: u32;
${isVector ? vectorLoads : scalarLoads}
fn finish(tile_row: u32, tile_feature: u32, sum: f32) {
  let row = first_row + tile_row;
  let feature = first_feature + tile_feature;
  if (row >= args.rows || feature >= args.features) { return; }
  var v = activated(sum + get_bias(feature), args.activation);
  if (has_residual) { v += get_residual(row * args.y_stride + feature); }
  set_y(row * args.y_stride + feature, v);
}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  first_feature = id.x * ${TILE_FEATURES}u;
  first_row = id.y * ${rows}u;
  ${tileSums(rows)}
  ${tileFinish(rows)}
}`,
  };
}

/** Columns after the last one are zeros: there x may hold other numbers. */
const vectorLoads = `
fn left4(row: u32, column: u32) -> vec4<f32> {
  if (first_row + row >= args.rows || column >= args.columns) { return vec4<f32>(); }
  let v = get_x(((first_row + row) * args.x_stride + column) / 4u);
  let left = args.columns - column;
  return select(vec4<f32>(), v, vec4(0u, 1u, 2u, 3u) < vec4(left));
}
fn right8(feature: u32, column: u32) -> array<vec4<f32>, 2> {
  if (first_feature + feature >= args.features || column >= args.columns) {
    return array<vec4<f32>, 2>();
  }
  return eight_weights(first_feature + feature, column);
}`;

const scalarLoads = `
fn left4(row: u32, column: u32) -> vec4<f32> {
  var v = vec4<f32>();
  if (first_row + row >= args.rows) { return v; }
  for (var i = 0u; i < 4u && column + i < args.columns; i++) {
    v[i] = get_x((first_row + row) * args.x_stride + column + i);
  }
  return v;
}
fn right8(feature: u32, column: u32) -> array<vec4<f32>, 2> {
  var v = array<vec4<f32>, 2>();
  if (first_feature + feature >= args.features) { return v; }
  for (var i = 0u; i < 8u && column + i < args.columns; i++) {
    v[i / 4u][i % 4u] = weight_at(first_feature + feature, column + i);
  }
  return v;
}`;
