// The launches of the causal convolution and its gradient. A unit of work is a sequence's span of channels.
import { ConvArg, ConvGradArg } from '../../../assembly/causal_conv1d/args.js';
import { KernelId } from '../../../assembly/kernel_ids.js';
import type { ConvCall } from '../native/calls.js';
import type { ConvGradCall } from '../native/gradient_calls.js';
import { withTemporaries } from '../native/memory.js';
import { activationIds } from './activation_ids.js';
import { ArgumentLayout } from './arguments.js';
import type { Runtime } from './runtime.js';
import { sumMiddle } from './sum_middle.js';

/** Channels of a span; see assembly/causal_conv1d/. */
const SPAN = 64;

const convArguments = new ArgumentLayout(ConvArg);
const gradArguments = new ArgumentLayout(ConvGradArg);

export function convolve(runtime: Runtime, call: ConvCall): void {
  const { batch, channels, length, width } = call;
  convArguments.write(runtime, call, { activation: activationIds[call.activation] });
  const units = batch * Math.ceil(channels / SPAN);
  const cost = SPAN * (length + 1) * (width + 8);
  const scratch = (width + 1) * SPAN * 4;
  runtime.run(KernelId.CausalConv1d, units, runtime.chunk(cost), scratch);
}

/** The parts of the sequences are summed. */
export function convolveGrad(runtime: Runtime, call: ConvGradCall): void {
  const { batch, length, channels, width, dweight, dbias } = call;
  withTemporaries(runtime.temporaries, (temporaries) => {
    const weightParts = temporaries.allocate(batch * channels * width * 4);
    const biasParts = dbias ? temporaries.allocate(batch * channels * 4) : 0;
    const activation = activationIds[call.activation];
    const parts = { dweight: weightParts, dbias: biasParts, activation };
    gradArguments.write(runtime, call, parts);
    const units = batch * Math.ceil(channels / SPAN);
    const cost = SPAN * length * width * 3;
    const scratch = (width + 6 + length) * SPAN * 4;
    runtime.run(KernelId.CausalConv1dGrad, units, runtime.chunk(cost), scratch);
    sumMiddle(runtime, weightParts, dweight, 1, batch, channels * width);
    if (dbias) sumMiddle(runtime, biasParts, dbias, 1, batch, channels);
  });
}
