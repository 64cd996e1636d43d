// The launch of attention's gradient. A unit of work is a key head of a sequence.
import { AttentionGradArg } from '../../../assembly/attention/args.js';
import { KernelId } from '../../../assembly/kernel_ids.js';
import type { AttentionGradCall } from '../native/gradient_calls.js';
import { ArgumentLayout } from './arguments.js';
import type { Runtime } from './runtime.js';

/** Queries of a block; see assembly/attention/attention_grad.ts. */
const BLOCK = 32;

const gradArguments = new ArgumentLayout(AttentionGradArg, ['scale']);

export function attendGrad(runtime: Runtime, call: AttentionGradCall): void {
  const { batch, length, heads, kvHeads, headDim } = call;
  const window = Math.min(call.window, length);
  const [L, D] = [roundUp4(length), roundUp4(headDim)];
  // A block's first and last key are rounded outwards to multiples of four.
  const seen = Math.min(L, roundUp4(window + BLOCK + 3));
  gradArguments.write(runtime, call, { window, seen });
  const cost = (heads / kvHeads) * length * window * headDim * 5;
  const scratch = 4 * (5 * L * D + BLOCK * (5 * D + 3 * seen));
  runtime.run(KernelId.AttentionGrad, batch * kvHeads, runtime.chunk(cost), scratch);
}

function roundUp4(n: number): number {
  return 4 * Math.ceil(n / 4);
}
