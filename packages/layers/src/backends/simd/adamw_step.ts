// The launch of an AdamW step.
import type { AdamWCall } from '../native/gradient_calls.js';
import { KernelId } from './kernel_ids.js';
import type { Runtime } from './runtime.js';

/** Numbers of a unit; see assembly/elementwise.ts. */
const SPAN = 4096;

export function adamW(runtime: Runtime, call: AdamWCall): void {
  const { variable, mean, square, gradient, size } = call;
  runtime.args.set([variable, mean, square, gradient, size]);
  const { scale, beta1, beta2, eps, learningRate, weightDecay } = call;
  const step = -learningRate * call.meanCorrection;
  const kept = 1 - learningRate * weightDecay;
  runtime.numbers.set([scale, beta1, beta2, eps, call.squareCorrection, step, kept], 5);
  runtime.args.set([call.newVariable, call.newMean, call.newSquare], 12);
  const units = Math.ceil(size / SPAN);
  runtime.run(KernelId.AdamWStep, units, runtime.chunk(SPAN * 8));
}
