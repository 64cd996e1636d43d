// The launch of rotary positions.
import type { RotaryCall } from '../native/calls.js';
import { rotaryKernel } from './rotary.wgsl.js';
import type { WebGpuRuntime } from './runtime.js';

export function rotate(runtime: WebGpuRuntime, call: RotaryCall): void {
  const { x, frequencies, positions, batch, length } = call;
  runtime.launch(
    rotaryKernel,
    [length, batch],
    { x, frequencies, positions },
    {
      length,
      x_stride: call.xStride,
      heads: call.heads,
      head_dim: call.headDim,
      half_dim: call.half,
    },
  );
}
