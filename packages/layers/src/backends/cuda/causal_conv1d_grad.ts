// The launches of the convolution's gradient: inputs token by token; taps and bias by runs of tokens, whose
// parts are summed.
import type { ConvGradCall } from '../native/gradient_calls.js';
import { withTemporaries } from '../native/memory.js';
import { activationIds } from './linear.js';
import { sumMiddle } from './reductions.js';
import type { Runtime } from './runtime.js';

/** Tokens of a part; see causal_conv1d_grad.cu. */
const RUN = 64;

export function convolveGrad(runtime: Runtime, call: ConvGradCall): void {
  const { x, weight, bias, before, dy, dafter, dx, dweight, dbias, dbefore } = call;
  const { batch, length, channels, width, activation } = call;
  const runs = Math.ceil(length / RUN);
  const parts = batch * runs;
  const across = Math.ceil(channels / 128);
  withTemporaries(runtime.pool, (temporaries) => {
    const numbers = (count: number) => temporaries.allocate(count * 4);
    const dz = activation === 'linear' ? dy : numbers(batch * length * channels);
    const weightParts = numbers(parts * channels * width);
    const biasParts = dbias ? numbers(parts * channels) : 0;
    const pointers = [
      ...[x, weight, bias, before, dy, dafter],
      ...[dz, dx, dbefore, weightParts, biasParts],
    ];
    const integers = [length, channels, width, activationIds[activation]];
    const launch = (kernel: string, grid: readonly [number, number, number]) =>
      runtime.launch(kernel, { grid, block: 128 }, pointers, integers);
    if (dz !== dy) launch('conv_grad_before_activation', [length, across, batch]);
    launch('conv_grad_inputs', [width + length, across, batch]);
    launch('conv_grad_taps', [across, runs, batch]);
    sumMiddle(runtime, weightParts, dweight, 1, parts, channels * width);
    if (dbias) sumMiddle(runtime, biasParts, dbias, 1, parts, channels);
  });
}
