// CausalConv1dGrad: a row of the batch and some channels at a time, then the rows' parts are summed.
import { sumMiddle } from './core/reductions.js';
import { isGiven, optionalAddress, simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';
import { activationIds } from './linear.js';
import { withTemporaries } from './temporaries.js';

/** Channels of a unit; see assembly/conv_grad.ts. */
const SPAN = 64;

export const causalConv1dGradKernel = simdKernel(
  'CausalConv1dGrad',
  ({ x, weight, bias, state, dy, dstateOut }, { activation }, backend) => {
    const { runtime } = backend;
    const [batch = 0, length = 0, channels = 0] = x.shape;
    const width = weight.shape[1] ?? 0;
    const dx = backend.allocate(x.shape);
    const dweight = backend.allocate(weight.shape);
    const dbias = isGiven(bias) ? backend.allocate(bias.shape) : undefined;
    const dstate = isGiven(state) ? backend.allocate(state.shape) : undefined;
    withTemporaries(runtime, (temporaries) => {
      const weightParts = temporaries.allocate(batch * weight.size * 4);
      const biasParts = dbias ? temporaries.allocate(batch * channels * 4) : 0;
      const given = [x, weight, bias, state, dy, dstateOut].map((t) => optionalAddress(backend, t));
      const made = [dx.address, weightParts, biasParts, dstate?.address ?? 0];
      const sizes = [length, channels, width, activationIds[activation]];
      runtime.args.set([...given, ...made, ...sizes]);
      const units = batch * Math.ceil(channels / SPAN);
      const cost = SPAN * length * width * 3;
      const scratch = (width + 6 + length) * SPAN * 4;
      runtime.run(KernelId.CausalConv1dGrad, units, runtime.chunk(cost), scratch);
      sumMiddle(backend, weightParts, dweight.address, 1, batch, weight.size);
      if (dbias) sumMiddle(backend, biasParts, dbias.address, 1, batch, channels);
    });
    return [
      dx.info,
      dweight.info,
      ...(dbias ? [dbias.info] : []),
      ...(dstate ? [dstate.info] : []),
    ];
  },
);
