// The causal convolution's launch.
import type { ConvCall } from '../native/calls.js';
import { KernelId } from './kernel_ids.js';
import { activationIds } from './linear.js';
import type { Runtime } from './runtime.js';

/** Channels of a unit; see assembly/conv.ts. */
const SPAN = 64;

export function convolve(runtime: Runtime, call: ConvCall): void {
  const { args } = runtime;
  args[0] = call.x;
  args[1] = call.xStride;
  args[2] = call.weight;
  args[3] = call.bias;
  args[4] = call.before;
  args[5] = call.after;
  args[6] = call.y;
  args[7] = call.yStride;
  args[8] = call.length;
  args[9] = call.channels;
  args[10] = call.width;
  args[11] = activationIds[call.activation];
  const units = call.batch * Math.ceil(call.channels / SPAN);
  const cost = SPAN * (call.length + 1) * (call.width + 8);
  const scratch = (call.width + 1) * SPAN * 4;
  runtime.run(KernelId.CausalConv1d, units, runtime.chunk(cost), scratch);
}
