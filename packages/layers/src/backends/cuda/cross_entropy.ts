// The launches of cross entropy and its gradient.
import type { CrossEntropyCall } from '../native/calls.js';
import type { CrossEntropyGradCall } from '../native/gradient_calls.js';
import type { Runtime } from './runtime.js';

export function crossEntropy(runtime: Runtime, call: CrossEntropyCall): void {
  const { logits, targets, loss, rows, columns } = call;
  const launch = { grid: [rows], block: 256 } as const;
  runtime.launch('cross_entropy', launch, [logits, targets, 0, loss], [columns]);
}

export function crossEntropyGrad(runtime: Runtime, call: CrossEntropyGradCall): void {
  const { logits, targets, dy, dlogits, rows, columns } = call;
  const launch = { grid: [rows], block: 256 } as const;
  runtime.launch('cross_entropy_grad', launch, [logits, targets, dy, dlogits], [columns]);
}
