// The causal convolution's launches.
import type { ConvCall } from '../native/calls.js';
import { activationIds } from './linear.js';
import type { Runtime } from './runtime.js';

/** Tokens of a thread; see causal_conv1d.cu. */
const RUN = 8;

export function convolve(runtime: Runtime, call: ConvCall): void {
  const { length, channels, width, xStride } = call;
  const type = call.format === 'bf16' ? '_bf16' : '';
  const across = Math.ceil(channels / 128);
  const oneRun = length <= RUN;
  runtime.launch(
    `causal_conv1d${type}`,
    { grid: [across, Math.ceil(length / RUN), call.batch], block: 128 },
    [call.x, call.weight, call.bias, call.before, call.y, oneRun ? call.after : 0],
    [xStride, call.yStride, length, channels, width, activationIds[call.activation]],
  );
  if (call.after === 0 || oneRun) return;
  runtime.launch(
    `conv_window${type}`,
    { grid: [across, call.batch], block: 128 },
    [call.x, call.before, call.after],
    [xStride, length, channels, width],
  );
}
