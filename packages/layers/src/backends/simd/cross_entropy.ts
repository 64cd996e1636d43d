// The launches of cross entropy and its gradient. A unit of work is a row.
import { CrossEntropyArg, CrossEntropyGradArg } from '../../../assembly/cross_entropy/args.js';
import { KernelId } from '../../../assembly/kernel_ids.js';
import type { CrossEntropyCall } from '../native/calls.js';
import type { CrossEntropyGradCall } from '../native/gradient_calls.js';
import { ArgumentLayout } from './arguments.js';
import type { Runtime } from './runtime.js';

const lossArguments = new ArgumentLayout(CrossEntropyArg);
const gradArguments = new ArgumentLayout(CrossEntropyGradArg);

export function crossEntropy(runtime: Runtime, call: CrossEntropyCall): void {
  lossArguments.write(runtime, call);
  runtime.run(KernelId.CrossEntropy, call.rows, runtime.chunk(call.columns * 8));
}

export function crossEntropyGrad(runtime: Runtime, call: CrossEntropyGradCall): void {
  gradArguments.write(runtime, call);
  runtime.run(KernelId.CrossEntropyGrad, call.rows, runtime.chunk(call.columns * 16));
}
