// The launches of the causal convolution.
import type { ConvCall } from '../native/calls.js';
import { convolveKernel, windowKernel } from './causal_conv1d.wgsl.js';
import { gridRows } from './grid.js';
import type { WebGpuRuntime } from './runtime.js';
import { activationIds } from './wgsl.js';

export function convolve(runtime: WebGpuRuntime, call: ConvCall): void {
  const { x, weight, bias, before, after, y, batch, length, channels, width } = call;
  const sizes = { batch, length, channels, width, x_stride: call.xStride };
  const columns = Math.ceil(channels / 64);
  runtime.launch(
    convolveKernel,
    [columns, gridRows(runtime, batch * length)],
    { x, weight, bias, before, y },
    { ...sizes, y_stride: call.yStride, activation: activationIds[call.activation] },
  );
  if (after === 0) return;
  runtime.launch(windowKernel, [columns, gridRows(runtime, batch)], { x, before, after }, sizes);
}
