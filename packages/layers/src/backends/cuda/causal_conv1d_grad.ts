// CausalConv1dGrad: inputs token by token; taps and bias by runs of tokens, whose parts are summed.
import { cudaKernel, isGiven, optionalAddress } from './kernel.js';
import { activationIds } from './linear.js';
import { sumMiddle } from './reductions.js';
import { withTemporaries } from './temporaries.js';

/** Tokens of a part; see causal_conv1d_grad.cu. */
const RUN = 64;

export const causalConv1dGradKernel = cudaKernel(
  'CausalConv1dGrad',
  ({ x, weight, bias, state, dy, dstateOut }, { activation }, backend) => {
    const { runtime } = backend;
    const [batch = 0, length = 0, channels = 0] = x.shape;
    const width = weight.shape[1] ?? 0;
    const dx = backend.allocate(x.shape);
    const dweight = backend.allocate(weight.shape);
    const dbias = isGiven(bias) ? backend.allocate(bias.shape) : undefined;
    const dstate = isGiven(state) ? backend.allocate(state.shape) : undefined;
    const runs = Math.ceil(length / RUN);
    const parts = batch * runs;
    const across = Math.ceil(channels / 128);
    withTemporaries(runtime, (temporaries) => {
      const dyAt = backend.address(dy);
      const dz = activation === 'linear' ? dyAt : temporaries.allocate(x.size * 4);
      const weightParts = temporaries.allocate(parts * weight.size * 4);
      const biasParts = dbias ? temporaries.allocate(parts * channels * 4) : 0;
      const pointers = [
        ...[backend.address(x), backend.address(weight), optionalAddress(backend, bias)],
        ...[optionalAddress(backend, state), dyAt, optionalAddress(backend, dstateOut)],
        ...[dz, dx.address, dstate?.address ?? 0, weightParts, biasParts],
      ];
      const integers = [length, channels, width, activationIds[activation]];
      const launch = (kernel: string, grid: readonly [number, number, number]) =>
        runtime.launch(kernel, { grid, block: 128 }, pointers, integers);
      if (dz !== dyAt) launch('conv_grad_before_activation', [length, across, batch]);
      launch('conv_grad_inputs', [width + length, across, batch]);
      launch('conv_grad_taps', [across, runs, batch]);
      sumMiddle(runtime, weightParts, dweight.address, 1, parts, weight.size);
      if (dbias) sumMiddle(runtime, biasParts, dbias.address, 1, parts, channels);
    });
    return [
      dx.info,
      dweight.info,
      ...(dbias ? [dbias.info] : []),
      ...(dstate ? [dstate.info] : []),
    ];
  },
);
