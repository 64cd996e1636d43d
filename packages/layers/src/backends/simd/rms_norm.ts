// The launches of the RMS norm, gated or not, and its gradient.
import { KernelId } from '../../../assembly/kernel_ids.js';
import { NormArg, NormGradArg } from '../../../assembly/norm/args.js';
import type { NormCall } from '../native/calls.js';
import type { NormGradCall } from '../native/gradient_calls.js';
import { withTemporaries } from '../native/memory.js';
import { ArgumentLayout } from './arguments.js';
import type { Runtime } from './runtime.js';
import { sumMiddle } from './sum_middle.js';

/** Rows of a unit of the gradient; see assembly/norm/norm_grad.ts. */
const GRAD_ROWS = 16;

const normArguments = new ArgumentLayout(NormArg, ['eps']);
const gradArguments = new ArgumentLayout(NormGradArg, ['eps']);

/** A unit of work is a row. */
export function norm(runtime: Runtime, call: NormCall): void {
  const { z = 0, zStride = 0, normBeforeGate = false, rows, columns } = call;
  normArguments.write(runtime, call, { z, zStride, normBeforeGate });
  runtime.run(KernelId.RmsNorm, rows, runtime.chunk(columns * 8));
}

/** A unit of work is some rows; their parts of dweight are summed. */
export function normGrad(runtime: Runtime, call: NormGradCall): void {
  const { rows, columns, groupSize, dweight } = call;
  withTemporaries(runtime.temporaries, (temporaries) => {
    const units = Math.ceil(rows / GRAD_ROWS);
    const parts = temporaries.allocate(units * columns * 4);
    gradArguments.write(runtime, call, { dweight: parts });
    const chunk = runtime.chunk(GRAD_ROWS * columns * 20);
    runtime.run(KernelId.RmsNormGrad, units, chunk, (groupSize + 4) * 8);
    sumMiddle(runtime, parts, dweight, 1, units, columns);
  });
}
