// CausalConv1d, as a kernel and on addresses; its window is moved on in place where that is allowed.
import type { Activation } from '../../kernel_names.js';
import { optionalAddress, simdKernel, stateOutput } from './kernel.js';
import { KernelId } from './kernel_ids.js';
import { activationIds } from './linear.js';
import type { Runtime } from './runtime.js';

export interface ConvCall {
  /** Addresses, and numbers from one token to the next. */
  x: number;
  xStride: number;
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

export const causalConv1dKernel = simdKernel(
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
