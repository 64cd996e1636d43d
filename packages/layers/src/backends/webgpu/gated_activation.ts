// The launch of the gated activation.
import type { ActivationCall } from '../native/calls.js';
import { activateKernel } from './gated_activation.wgsl.js';
import { gridRows } from './grid.js';
import type { WebGpuRuntime } from './runtime.js';
import { activationIds } from './wgsl.js';

export function activate(runtime: WebGpuRuntime, call: ActivationCall): void {
  const { x, multiplier, y, rows, columns } = call;
  runtime.launch(
    activateKernel,
    [Math.ceil(columns / 64), gridRows(runtime, rows)],
    { x, multiplier, y },
    {
      rows,
      columns,
      x_stride: call.xStride,
      multiplier_stride: call.multiplierStride,
      y_stride: call.yStride,
      activation: activationIds[call.activation],
    },
  );
}
