// RmsNorm, and the call that it shares with the gated one.
import { optionalAddress, simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';
import type { Runtime } from './runtime.js';

export interface NormCall {
  /** Addresses, and numbers from one row to the next. */
  x: number;
  xStride: number;
  /** 0 for no gate. */
  z?: number;
  zStride?: number;
  weight: number;
  y: number;
  yStride: number;
  rows: number;
  columns: number;
  groupSize: number;
  eps: number;
  normBeforeGate?: boolean;
}

export function normRows(runtime: Runtime, call: NormCall): void {
  const { args, numbers } = runtime;
  args[0] = call.x;
  args[1] = call.xStride;
  args[2] = call.z ?? 0;
  args[3] = call.zStride ?? 0;
  args[4] = call.weight;
  args[5] = call.y;
  args[6] = call.yStride;
  args[7] = call.columns;
  args[8] = call.groupSize;
  numbers[9] = call.eps;
  args[10] = call.normBeforeGate ? 1 : 0;
  runtime.run(KernelId.RmsNorm, call.rows, runtime.chunk(call.columns * 8));
}

export const rmsNormKernel = simdKernel('RmsNorm', ({ x, weight }, { eps }, backend) => {
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

export const gatedRmsNormKernel = simdKernel(
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
