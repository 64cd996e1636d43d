// The launch of an AdamW step.
import { AdamWArg } from '../../../assembly/adamw/args.js';
import { KernelId } from '../../../assembly/kernel_ids.js';
import type { AdamWCall } from '../native/gradient_calls.js';
import { ArgumentLayout } from './arguments.js';
import type { Runtime } from './runtime.js';

/** Numbers of a unit; see assembly/adamw/adamw_step.ts. */
const SPAN = 4096;

const stepArguments = new ArgumentLayout(AdamWArg, [
  ...(['scale', 'beta1', 'beta2', 'eps', 'squareCorrection', 'step', 'kept'] as const),
]);

export function adamW(runtime: Runtime, call: AdamWCall): void {
  const step = -call.learningRate * call.meanCorrection;
  const kept = 1 - call.learningRate * call.weightDecay;
  stepArguments.write(runtime, call, { step, kept });
  runtime.run(KernelId.AdamWStep, Math.ceil(call.size / SPAN), runtime.chunk(SPAN * 8));
}
