// RmsNorm, and the call that it shares with the gated one.
import type { NumberFormat } from './activations.js';
import { cudaKernel, optionalAddress } from './kernel.js';
import { formatIds } from './layout.js';
import type { Runtime } from './runtime.js';

export interface NormCall {
  /** Addresses, and numbers from one row to the next. */
  x: number;
  xStride: number;
  /** Of x and z; f32 unless given. */
  xFormat?: NumberFormat;
  /** 0 for no gate. */
  z?: number;
  zStride?: number;
  /** 0 for the gate alone. */
  weight: number;
  y: number;
  yStride: number;
  /** f32 unless given. */
  yFormat?: NumberFormat;
  rows: number;
  columns: number;
  groupSize: number;
  eps: number;
  normBeforeGate?: boolean;
}

export function normRows(runtime: Runtime, call: NormCall): void {
  const groups = call.columns / call.groupSize;
  const block = Math.min(512, Math.max(32, Math.ceil(call.groupSize / 128) * 32));
  runtime.launch(
    call.xFormat === 'bf16' ? 'norm_rows_bf16' : 'norm_rows',
    { grid: [call.rows, groups], block },
    [call.x, call.z ?? 0, call.weight, call.y],
    [
      ...[call.xStride, call.zStride ?? 0, call.yStride, call.groupSize],
      ...[call.normBeforeGate ? 1 : 0, formatIds[call.yFormat ?? 'f32']],
    ],
    [call.eps],
  );
}

export const rmsNormKernel = cudaKernel('RmsNorm', ({ x, weight }, { eps }, backend) => {
  const y = backend.allocate(x.shape);
  const columns = x.shape.at(-1) ?? 0;
  normRows(backend.runtime, {
    x: backend.address(x),
    xStride: columns,
    weight: backend.address(weight),
    y: y.address,
    yStride: columns,
    rows: x.size / columns,
    columns,
    groupSize: columns,
    eps,
  });
  return y.info;
});

export const gatedRmsNormKernel = cudaKernel(
  'GatedRmsNorm',
  ({ x, z, weight }, { groupSize, eps, normBeforeGate }, backend) => {
    const y = backend.allocate(x.shape);
    const columns = x.shape.at(-1) ?? 0;
    normRows(backend.runtime, {
      x: backend.address(x),
      xStride: columns,
      z: optionalAddress(backend, z),
      zStride: columns,
      weight: backend.address(weight),
      y: y.address,
      yStride: columns,
      rows: x.size / columns,
      columns,
      groupSize,
      eps,
      normBeforeGate,
    });
    return y.info;
  },
);
