// The launches of the convolution's gradient: a sequence and some channels at a time, then the sequences'
// parts are summed.
import type { ConvGradCall } from '../native/gradient_calls.js';
import { withTemporaries } from '../native/memory.js';
import { sumMiddle } from './core/sum_middle.js';
import { KernelId } from './kernel_ids.js';
import { activationIds } from './linear.js';
import type { Runtime } from './runtime.js';

/** Channels of a unit; see assembly/conv_grad.ts. */
const SPAN = 64;

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
