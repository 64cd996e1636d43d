// The launch of an AdamW step.
import type { AdamWCall } from '../native/gradient_calls.js';
import { overElements } from './reductions.js';
import type { Runtime } from './runtime.js';

export function adamW(runtime: Runtime, call: AdamWCall): void {
  const { variable, mean, square, gradient, newVariable, newMean, newSquare, size } = call;
  const { scale, beta1, beta2, eps, learningRate, weightDecay } = call;
  const step = -learningRate * call.meanCorrection;
  const kept = 1 - learningRate * weightDecay;
  runtime.launch(
    'adamw_step',
    overElements(runtime, size),
    [variable, mean, square, gradient, newVariable, newMean, newSquare],
    [size],
    [scale, beta1, 1 - beta1, beta2, 1 - beta2, call.squareCorrection, eps, step, kept],
  );
}
