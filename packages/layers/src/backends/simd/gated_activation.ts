// The launches of the gated activation and its gradient.
import type { ActivationCall } from '../native/calls.js';
import type { ActivationGradCall } from '../native/gradient_calls.js';
import { KernelId } from './kernel_ids.js';
import { activationIds } from './linear.js';
import type { Runtime } from './runtime.js';

/** Columns of a unit, and numbers of one of the gradient; see assembly/norm.ts and norm_grad.ts. */
const SPAN = 1024;

export function activate(runtime: Runtime, call: ActivationCall): void {
  const { args } = runtime;
  args[0] = call.x;
  args[1] = call.xStride;
  args[2] = call.multiplier;
  args[3] = call.multiplierStride;
  args[4] = call.y;
  args[5] = call.yStride;
  args[6] = call.columns;
  args[7] = activationIds[call.activation];
  const units = call.rows * Math.ceil(call.columns / SPAN);
  const cost = Math.min(SPAN, call.columns) * 12;
  runtime.run(KernelId.GatedActivation, units, runtime.chunk(cost));
}

export function activateGrad(runtime: Runtime, call: ActivationGradCall): void {
  const { x, multiplier, dy, dx, dmultiplier, size, activation } = call;
  runtime.args.set([x, multiplier, dy, dx, dmultiplier, size, activationIds[activation]]);
  const units = Math.ceil(size / SPAN);
  runtime.run(KernelId.GatedActivationGrad, units, runtime.chunk(SPAN * 16));
}
