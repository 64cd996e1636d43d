// The launch of the gated activation's gradient.
import type { ActivationGradCall } from '../native/gradient_calls.js';
import { KernelId } from './kernel_ids.js';
import { activationIds } from './linear.js';
import type { Runtime } from './runtime.js';

/** Numbers of a unit; see assembly/norm_grad.ts. */
const SPAN = 1024;

export function activateGrad(runtime: Runtime, call: ActivationGradCall): void {
  const { x, multiplier, dy, dx, dmultiplier, size, activation } = call;
  runtime.args.set([x, multiplier, dy, dx, dmultiplier, size, activationIds[activation]]);
  const units = Math.ceil(size / SPAN);
  runtime.run(KernelId.GatedActivationGrad, units, runtime.chunk(SPAN * 16));
}
