// The launches of the gated activation and its gradient.
import { ActivationArg, ActivationGradArg } from '../../../assembly/gated_activation/args.js';
import { KernelId } from '../../../assembly/kernel_ids.js';
import type { ActivationCall } from '../native/calls.js';
import type { ActivationGradCall } from '../native/gradient_calls.js';
import { activationIds } from './activation_ids.js';
import { ArgumentLayout } from './arguments.js';
import type { Runtime } from './runtime.js';

/** Columns per unit, and values per unit of the gradient; see assembly/gated_activation/. */
const SPAN = 1024;

const activationArguments = new ArgumentLayout(ActivationArg);
const gradArguments = new ArgumentLayout(ActivationGradArg);

export function activate(runtime: Runtime, call: ActivationCall): void {
  activationArguments.write(runtime, call, { activation: activationIds[call.activation] });
  const units = call.rows * Math.ceil(call.columns / SPAN);
  const cost = Math.min(SPAN, call.columns) * 12;
  runtime.run(KernelId.GatedActivation, units, runtime.chunk(cost));
}

export function activateGrad(runtime: Runtime, call: ActivationGradCall): void {
  gradArguments.write(runtime, call, { activation: activationIds[call.activation] });
  const units = Math.ceil(call.size / SPAN);
  runtime.run(KernelId.GatedActivationGrad, units, runtime.chunk(SPAN * 16));
}
