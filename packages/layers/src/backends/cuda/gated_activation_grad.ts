// The launch of the gated activation's gradient.
import type { ActivationGradCall } from '../native/gradient_calls.js';
import { activationIds } from './linear.js';
import { overElements } from './reductions.js';
import type { Runtime } from './runtime.js';

export function activateGrad(runtime: Runtime, call: ActivationGradCall): void {
  const { x, multiplier, dy, dx, dmultiplier, size, activation } = call;
  runtime.launch(
    'gated_activation_grad',
    overElements(runtime, size),
    [x, multiplier, dy, dx, dmultiplier],
    [size, activationIds[activation]],
  );
}
