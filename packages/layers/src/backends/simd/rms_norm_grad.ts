// RmsNormGrad and GatedRmsNormGrad: one pass a row, then the rows' parts of dweight are summed.
import type * as tf from '@tensorflow/tfjs-core';
import type { SimdBackend } from './backend.js';
import { sumMiddle } from './core/reductions.js';
import { isGiven, optionalAddress, simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';
import { withTemporaries } from './temporaries.js';

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
    const parts = temporaries.allocate(x.size * 4);
    const given = [x, z, weight, dy].map((t) => optionalAddress(backend, t));
    runtime.args.set([...given, dx.address, dz?.address ?? 0, parts, columns, groupSize]);
    runtime.numbers[9] = eps;
    runtime.args[10] = normBeforeGate ? 1 : 0;
    const scratch = (groupSize + 4) * 8;
    runtime.run(KernelId.RmsNormGrad, rows, runtime.chunk(columns * 20), scratch);
    sumMiddle(backend, parts, dweight.address, 1, rows, columns);
  });
  return [dx.info, dweight.info, ...(dz ? [dz.info] : [])];
}
