// The launches of the causal convolution and its gradient.
import type { ConvCall } from '../native/calls.js';
import type { ConvGradCall } from '../native/gradient_calls.js';
import { withTemporaries } from '../native/memory.js';
import { activationIds } from './linear.js';
import { sumMiddle } from './reductions.js';
import type { Runtime } from './runtime.js';

/** Tokens per thread; see causal_conv1d.cu. */
const RUN = 8;
/** Tokens per partial sum of the gradients of taps and bias; see causal_conv1d_grad.cu. */
const GRAD_RUN = 64;

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

/** Gradients of taps and bias are partial sums over runs of tokens, which are then summed. */
export function convolveGrad(runtime: Runtime, call: ConvGradCall): void {
  const { x, weight, bias, before, dy, dafter, dx, dweight, dbias, dbefore } = call;
  const { batch, length, channels, width, activation } = call;
  const runs = Math.ceil(length / GRAD_RUN);
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
