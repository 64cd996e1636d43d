// The launch of the RMS norm, gated or not.
import type { NormCall } from '../native/calls.js';
import { gridRows } from './grid.js';
import { normKernel } from './rms_norm.wgsl.js';
import type { WebGpuRuntime } from './runtime.js';

export function norm(runtime: WebGpuRuntime, call: NormCall): void {
  const { x, z = 0, weight, y, rows, columns, groupSize, eps } = call;
  runtime.launch(
    normKernel(runtime.hasSubgroups, runtime.workgroup),
    [columns / groupSize, gridRows(runtime, rows)],
    { x, z, weight, y },
    {
      rows,
      x_stride: call.xStride,
      z_stride: call.zStride ?? 0,
      y_stride: call.yStride,
      group_size: groupSize,
      norm_before_gate: call.normBeforeGate ? 1 : 0,
      eps,
    },
  );
}
