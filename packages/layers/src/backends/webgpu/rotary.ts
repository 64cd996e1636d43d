// The launch of rotary positions.
import type { RotaryCall } from '../native/calls.js';
import { gridParts } from './grid.js';
import { rotaryKernel } from './rotary.wgsl.js';
import type { WebGpuRuntime } from './runtime.js';

export function rotate(runtime: WebGpuRuntime, call: RotaryCall): void {
  const { x, frequencies, positions, batch, length } = call;
  const sizes = { heads: call.heads, head_dim: call.headDim, half_dim: call.half };
  for (const { first, size } of gridParts(runtime, length)) {
    runtime.launch(
      rotaryKernel,
      [size, batch],
      { x, frequencies, positions },
      { length, first, x_stride: call.xStride, ...sizes },
    );
  }
}
