// The gated activation's launch.
import type { ActivationCall } from '../native/calls.js';
import { KernelId } from './kernel_ids.js';
import { activationIds } from './linear.js';
import type { Runtime } from './runtime.js';

/** Columns of a unit; see assembly/norm.ts. */
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
