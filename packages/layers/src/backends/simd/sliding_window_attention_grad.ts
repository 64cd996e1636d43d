// The launch of attention's gradient: some queries of a head at a time.
import type { AttentionGradCall } from '../native/gradient_calls.js';
import { KernelId } from './kernel_ids.js';
import type { Runtime } from './runtime.js';

/** Queries of a block; see assembly/attention_grad.ts. */
const BLOCK = 32;

export function attendGrad(runtime: Runtime, call: AttentionGradCall): void {
  const { q, k, v, dy, dq, dk, dv, batch, length, heads, kvHeads, headDim, window, scale } = call;
  const reach = Math.min(window, length);
  const [L, D] = [roundUp4(length), roundUp4(headDim)];
  // A block's first and last key are moved apart to multiples of four.
  const seen = Math.min(L, roundUp4(reach + BLOCK + 3));
  runtime.args.set([q, k, v, dy, dq, dk, dv, length, heads, kvHeads, headDim, reach]);
  runtime.numbers[12] = scale;
  runtime.args[13] = seen;
  const cost = (heads / kvHeads) * length * reach * headDim * 5;
  const scratch = 4 * (5 * L * D + BLOCK * (5 * D + 3 * seen));
  runtime.run(KernelId.AttentionGrad, batch * kvHeads, runtime.chunk(cost), scratch);
}

function roundUp4(n: number): number {
  return 4 * Math.ceil(n / 4);
}
