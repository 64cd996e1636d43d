// CausalConv1d, as a kernel and on addresses; its window is moved on in place where that is allowed.
import type { Activation } from '../../kernel_names.js';
import type { ActivationFormat } from './activations.js';
import { cudaKernel, optionalAddress, stateOutput } from './kernel.js';
import { activationIds } from './linear.js';
import type { Runtime } from './runtime.js';

export interface ConvCall {
  /** Addresses, and numbers from one token to the next. */
  x: number;
  xStride: number;
  /** Of x and y; f32 unless given. */
  format?: ActivationFormat;
  weight: number;
  bias: number;
  /** The window before and after; 0 for zeros, and where it is not wanted. They may be the same. */
  before: number;
  after: number;
  y: number;
  yStride: number;
  batch: number;
  length: number;
  channels: number;
  width: number;
  activation: Activation;
}

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

export const causalConv1dKernel = cudaKernel(
  'CausalConv1d',
  ({ x, weight, bias, state }, { activation, returnState }, backend) => {
    const [batch = 0, length = 0, channels = 0] = x.shape;
    const width = weight.shape[1] ?? 0;
    const y = backend.allocate(x.shape);
    const before = optionalAddress(backend, state);
    const after = returnState
      ? stateOutput(backend, state, [batch, width, channels])
      : { info: undefined, address: 0 };
    convolve(backend.runtime, {
      x: backend.address(x),
      xStride: channels,
      weight: backend.address(weight),
      bias: optionalAddress(backend, bias),
      before,
      after: after.address,
      y: y.address,
      yStride: channels,
      batch,
      length,
      channels,
      width,
      activation,
    });
    return after.info ? [y.info, after.info] : [y.info];
  },
);
