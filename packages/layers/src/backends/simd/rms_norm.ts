// The launches of the RMS norm, gated or not, and its gradient.
import type { NormCall } from '../native/calls.js';
import type { NormGradCall } from '../native/gradient_calls.js';
import { withTemporaries } from '../native/memory.js';
import { sumMiddle } from './core/sum_middle.js';
import { KernelId } from './kernel_ids.js';
import type { Runtime } from './runtime.js';

/** Rows of a unit of the gradient; see assembly/norm_grad.ts. */
const GRAD_ROWS = 16;

export function norm(runtime: Runtime, call: NormCall): void {
  const { args, numbers } = runtime;
  args[0] = call.x;
  args[1] = call.xStride;
  args[2] = call.z ?? 0;
  args[3] = call.zStride ?? 0;
  args[4] = call.weight;
  args[5] = call.y;
  args[6] = call.yStride;
  args[7] = call.columns;
  args[8] = call.groupSize;
  numbers[9] = call.eps;
  args[10] = call.normBeforeGate ? 1 : 0;
  runtime.run(KernelId.RmsNorm, call.rows, runtime.chunk(call.columns * 8));
}

/** Some rows at a time; their parts of dweight are summed. */
export function normGrad(runtime: Runtime, call: NormGradCall): void {
  const { x, z, weight, dy, dx, dweight, dz, rows, columns, groupSize } = call;
  withTemporaries(runtime.temporaries, (temporaries) => {
    const units = Math.ceil(rows / GRAD_ROWS);
    const parts = temporaries.allocate(units * columns * 4);
    runtime.args.set([x, z, weight, dy, dx, dz, parts, columns, groupSize]);
    runtime.numbers[9] = call.eps;
    runtime.args[10] = call.normBeforeGate ? 1 : 0;
    runtime.args[11] = rows;
    const scratch = (groupSize + 4) * 8;
    runtime.run(KernelId.RmsNormGrad, units, runtime.chunk(GRAD_ROWS * columns * 20), scratch);
    sumMiddle(runtime, parts, dweight, 1, units, columns);
  });
}
