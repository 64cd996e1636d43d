// y = activation(norm(x) w^T + bias) + residual on addresses: every matrix multiplication of the layers.
import type { LinearCall } from '../native/calls.js';
import { withTemporaries } from '../native/memory.js';
import { gridBlocks } from './grid.js';
import { layoutOf, PACKED_F16, rowBytes, type WeightPart, weightParts } from './layout.js';
import { matmulKernel } from './matmul.wgsl.js';
import { FEATURES, MOST_NORM_GROUPS, MOST_ROWS, matvecKernel } from './matvec.wgsl.js';
import { norm as normRows } from './rms_norm.js';
import { rowsOfBinding, type WebGpuRuntime } from './runtime.js';
import { MOST_TILE_ROWS, TILE_FEATURES } from './tile.wgsl.js';
import { activationIds } from './wgsl.js';

export function linear(runtime: WebGpuRuntime, call: LinearCall): void {
  const { rows, norm, attrs } = call;
  const [, columns = 0] = attrs.shape;
  const mostRows = Math.min(
    rowsOfBinding(runtime, Math.max(call.xStride, call.yStride)),
    MOST_TILE_ROWS * runtime.mostWorkgroups,
  );
  if (rows > mostRows) {
    for (let first = 0; first < rows; first += mostRows) {
      linear(runtime, rowsFrom(call, first, Math.min(mostRows, rows - first)));
    }
    return;
  }
  const isFew = rows <= MOST_ROWS;
  const fitsNorm = isFew && (!norm || columns / norm.groupSize <= MOST_NORM_GROUPS);
  if (norm && !fitsNorm) {
    withTemporaries(runtime.pool, (temporaries) => {
      const y = temporaries.allocate(rows * columns * 4);
      const { x, xStride } = call;
      normRows(runtime, { ...norm, x, xStride, y, yStride: columns, rows, columns });
      linear(runtime, { ...call, x: y, xStride: columns, norm: undefined });
    });
    return;
  }
  for (const part of parts(runtime, call)) {
    if (isFew) matvec(runtime, call, part);
    else matmul(runtime, call, part);
  }
}

/** The call for `count` of its rows. */
function rowsFrom(call: LinearCall, first: number, count: number): LinearCall {
  const { x, y, residual = 0, xStride, yStride, norm } = call;
  return {
    ...call,
    rows: count,
    x: x + first * xStride * 4,
    y: y + first * yStride * 4,
    residual: residual && residual + first * yStride * 4,
    norm: norm && { ...norm, z: norm.z && norm.z + first * (norm.zStride ?? 0) * 4 },
  };
}

/** Whether a weight is bound as one, so that kernels can do more than multiply. */
export function fitsBinding(runtime: WebGpuRuntime, attrs: LinearCall['attrs']): boolean {
  return layoutOf(attrs).bytes <= runtime.device.limits.maxStorageBufferBindingSize;
}

/** The parts of the call's weight that bindings hold. */
function parts({ device }: WebGpuRuntime, { weight, attrs }: LinearCall): readonly WeightPart[] {
  return weightParts(weight, attrs, device.limits.maxStorageBufferBindingSize);
}

/** Arguments of both kernels. */
function argumentsOf(call: LinearCall, part: WeightPart) {
  const { attrs, x, y, bias = 0, residual = 0 } = call;
  const { pitch, group, groups } = layoutOf(attrs);
  const [, columns = 0] = attrs.shape;
  const skipped = part.first * 4;
  return {
    memory: {
      w: part.weight,
      params: part.params,
      x,
      y: y + skipped,
      bias: bias === 0 ? 0 : bias + skipped,
      residual: residual === 0 ? 0 : residual + skipped,
    },
    scalars: {
      rows: call.rows,
      features: part.count,
      columns,
      x_stride: call.xStride,
      y_stride: call.yStride,
      activation: activationIds[call.activation ?? 'linear'],
      pitch: pitch / 4,
      group,
      groups,
      f16_params: attrs.layout === PACKED_F16 ? 1 : 0,
    },
  };
}

function matvec(runtime: WebGpuRuntime, call: LinearCall, part: WeightPart): void {
  const { attrs, norm, conv, rows } = call;
  const { memory, scalars } = argumentsOf(call, part);
  const words = hasVectors(part, attrs) ? 4 : 1;
  // Parameters are read 16 bytes at a time as well, and may start between.
  const skipped = words === 4 ? part.params % 16 : 0;
  const kernel = matvecKernel({
    format: attrs.format,
    rows: 2 ** Math.ceil(Math.log2(rows)),
    words,
    hasNorm: norm !== undefined,
    hasConv: conv !== undefined,
    hasSubgroups: runtime.hasSubgroups,
    workgroup: runtime.workgroup,
  });
  runtime.launch(
    kernel,
    gridBlocks(runtime, Math.ceil(part.count / FEATURES)),
    {
      ...memory,
      params: part.params - skipped,
      norm_weight: norm?.weight ?? 0,
      z: norm?.z ?? 0,
      conv_weight: conv?.weight ?? 0,
      conv_bias: conv?.bias ?? 0,
      before: conv?.before ?? 0,
      after: conv?.after ?? 0,
    },
    {
      ...scalars,
      params_skip: skipped / 4,
      z_stride: norm?.zStride ?? 0,
      group_size: norm?.groupSize ?? 1,
      norm_before_gate: norm?.normBeforeGate ? 1 : 0,
      conv_first: conv?.first ?? 0,
      conv_channels: conv?.channels ?? 0,
      conv_width: conv?.width ?? 0,
      eps: norm?.eps ?? 0,
    },
    // The last workgroup reads its last row again for the ones that it lacks.
    rowBytes(layoutOf(attrs), Math.ceil(part.count / FEATURES) * FEATURES),
  );
}

function matmul(runtime: WebGpuRuntime, call: LinearCall, part: WeightPart): void {
  const { memory, scalars } = argumentsOf(call, part);
  const { rows, x, xStride, attrs } = call;
  const tile = rows <= 32 ? 32 : MOST_TILE_ROWS;
  const grid = [Math.ceil(part.count / TILE_FEATURES), Math.ceil(rows / tile)] as const;
  const { buffers } = runtime;
  // A buffer that is written cannot be bound as vectors as well.
  const isOwn = buffers.at(x).buffer !== buffers.at(call.y).buffer;
  const kernel = matmulKernel({
    format: attrs.format,
    rows: tile,
    isVector: isOwn && isAligned(x) && xStride % 4 === 0 && hasVectors(part, attrs),
  });
  const read = rowBytes(layoutOf(attrs), part.count * grid[1]);
  runtime.launch(kernel, grid, memory, scalars, read);
}

/** Whether the rows of a weight are whole vectors. */
function hasVectors({ weight }: WeightPart, attrs: LinearCall['attrs']): boolean {
  return isAligned(weight) && layoutOf(attrs).pitch % 16 === 0;
}

/** Whether an address can be read 16 bytes at a time. Buffers start so. */
function isAligned(address: number): boolean {
  return address % 16 === 0;
}
