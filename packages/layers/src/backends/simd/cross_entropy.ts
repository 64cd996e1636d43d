// The launches of cross entropy and its gradient. A unit of work is a row.
import type { CrossEntropyCall } from '../native/calls.js';
import type { CrossEntropyGradCall } from '../native/gradient_calls.js';
import { KernelId } from './kernel_ids.js';
import type { Runtime } from './runtime.js';

export function crossEntropy(runtime: Runtime, call: CrossEntropyCall): void {
  const { logits, targets, loss, rows, columns } = call;
  runtime.args.set([logits, targets, loss, columns]);
  runtime.run(KernelId.CrossEntropy, rows, runtime.chunk(columns * 8));
}

export function crossEntropyGrad(runtime: Runtime, call: CrossEntropyGradCall): void {
  const { logits, targets, dy, dlogits, rows, columns } = call;
  runtime.args.set([logits, targets, dlogits, columns, dy]);
  runtime.run(KernelId.CrossEntropyGrad, rows, runtime.chunk(columns * 16));
}
