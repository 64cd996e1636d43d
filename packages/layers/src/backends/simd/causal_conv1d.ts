// The launches of the causal convolution and its gradient.
import type { ConvCall } from '../native/calls.js';
import type { ConvGradCall } from '../native/gradient_calls.js';
import { withTemporaries } from '../native/memory.js';
import { sumMiddle } from './core/sum_middle.js';
import { KernelId } from './kernel_ids.js';
import { activationIds } from './linear.js';
import type { Runtime } from './runtime.js';

/** Channels of a unit; see assembly/conv.ts and conv_grad.ts. */
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

/** A sequence and some channels at a time; the sequences' parts are summed. */
export function convolveGrad(runtime: Runtime, call: ConvGradCall): void {
  const { x, weight, bias, before, dy, dafter, dx, dweight, dbias, dbefore } = call;
  const { batch, length, channels, width, activation } = call;
  withTemporaries(runtime.temporaries, (temporaries) => {
    const weightParts = temporaries.allocate(batch * channels * width * 4);
    const biasParts = dbias ? temporaries.allocate(batch * channels * 4) : 0;
    const given = [x, weight, bias, before, dy, dafter];
    const made = [dx, weightParts, biasParts, dbefore];
    runtime.args.set([...given, ...made, length, channels, width, activationIds[activation]]);
    const units = batch * Math.ceil(channels / SPAN);
    const cost = SPAN * length * width * 3;
    const scratch = (width + 6 + length) * SPAN * 4;
    runtime.run(KernelId.CausalConv1dGrad, units, runtime.chunk(cost), scratch);
    sumMiddle(runtime, weightParts, dweight, 1, batch, channels * width);
    if (dbias) sumMiddle(runtime, biasParts, dbias, 1, batch, channels);
  });
}
