// RmsNormGrad and GatedRmsNormGrad: some rows at a time, then their parts of dweight are summed.
import type * as tf from '@tensorflow/tfjs-core';
import type { SimdBackend } from './backend.js';
import { sumMiddle } from './core/reductions.js';
import { isGiven, optionalAddress, simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';
import { withTemporaries } from './temporaries.js';

/** Rows of a unit; see assembly/norm_grad.ts. */
const ROWS = 16;

export const rmsNormGradKernel = simdKernel('RmsNormGrad', (inputs, { eps }, backend) =>
  normGrad(backend, inputs, inputs.x.shape.at(-1) ?? 0, eps, false),
);

export const gatedRmsNormGradKernel = simdKernel(
  'GatedRmsNormGrad',
  (inputs, { groupSize, eps, normBeforeGate }, backend) =>
    normGrad(backend, inputs, groupSize, eps, normBeforeGate),
);

/** [dx, dweight, dz?] */
function normGrad(
  backend: SimdBackend,
  { x, z, weight, dy }: { x: tf.Tensor; z?: tf.Tensor; weight: tf.Tensor; dy: tf.Tensor },
  groupSize: number,
  eps: number,
  normBeforeGate: boolean,
): tf.TensorInfo[] {
  const { runtime } = backend;
  const columns = x.shape.at(-1) ?? 0;
  const rows = x.size / columns;
  const dx = backend.allocate(x.shape);
  const dweight = backend.allocate(weight.shape);
  const dz = isGiven(z) ? backend.allocate(z.shape) : undefined;
  withTemporaries(runtime, (temporaries) => {
    const units = Math.ceil(rows / ROWS);
    const parts = temporaries.allocate(units * columns * 4);
    const given = [x, z, weight, dy].map((t) => optionalAddress(backend, t));
    runtime.args.set([...given, dx.address, dz?.address ?? 0, parts, columns, groupSize]);
    runtime.numbers[9] = eps;
    runtime.args[10] = normBeforeGate ? 1 : 0;
    runtime.args[11] = rows;
    const scratch = (groupSize + 4) * 8;
    runtime.run(KernelId.RmsNormGrad, units, runtime.chunk(ROWS * columns * 20), scratch);
    sumMiddle(backend, parts, dweight.address, 1, units, columns);
  });
  return [dx.info, dweight.info, ...(dz ? [dz.info] : [])];
}
