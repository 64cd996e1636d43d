// The launches of the norms' gradient: some rows at a time, then their parts of dweight are summed.
import type { NormGradCall } from '../native/gradient_calls.js';
import { withTemporaries } from '../native/memory.js';
import { sumMiddle } from './core/sum_middle.js';
import { KernelId } from './kernel_ids.js';
import type { Runtime } from './runtime.js';

/** Rows of a unit; see assembly/norm_grad.ts. */
const ROWS = 16;

export function normGrad(runtime: Runtime, call: NormGradCall): void {
  const { x, z, weight, dy, dx, dweight, dz, rows, columns, groupSize } = call;
  withTemporaries(runtime.temporaries, (temporaries) => {
    const units = Math.ceil(rows / ROWS);
    const parts = temporaries.allocate(units * columns * 4);
    runtime.args.set([x, z, weight, dy, dx, dz, parts, columns, groupSize]);
    runtime.numbers[9] = call.eps;
    runtime.args[10] = call.normBeforeGate ? 1 : 0;
    runtime.args[11] = rows;
    const scratch = (groupSize + 4) * 8;
    runtime.run(KernelId.RmsNormGrad, units, runtime.chunk(ROWS * columns * 20), scratch);
    sumMiddle(runtime, parts, dweight, 1, units, columns);
  });
}
