// RmsNormGrad and GatedRmsNormGrad: a block has some rows, whose parts of dweight are summed.
import type * as tf from '@tensorflow/tfjs-core';
import { cudaKernel, isGiven, type KernelTensors, optionalAddress } from './kernel.js';
import { sumMiddle } from './reductions.js';
import { withTemporaries } from './temporaries.js';

/** The most parts that a dweight is summed of. */
const MOST_PARTS = 256;

export const rmsNormGradKernel = cudaKernel('RmsNormGrad', (inputs, { eps }, tensors) =>
  normGrad(tensors, inputs, inputs.x.shape.at(-1) ?? 0, eps, false),
);

export const gatedRmsNormGradKernel = cudaKernel(
  'GatedRmsNormGrad',
  (inputs, { groupSize, eps, normBeforeGate }, tensors) =>
    normGrad(tensors, inputs, groupSize, eps, normBeforeGate),
);

/** [dx, dweight, dz?] */
function normGrad(
  tensors: KernelTensors,
  { x, z, weight, dy }: { x: tf.Tensor; z?: tf.Tensor; weight: tf.Tensor; dy: tf.Tensor },
  groupSize: number,
  eps: number,
  normBeforeGate: boolean,
): tf.TensorInfo[] {
  const { runtime } = tensors;
  const columns = x.shape.at(-1) ?? 0;
  const rows = x.size / columns;
  const perBlock = Math.ceil(rows / MOST_PARTS);
  const blocks = Math.ceil(rows / perBlock);
  const dx = tensors.allocate(x.shape);
  const dweight = tensors.allocate(weight.shape);
  const dz = isGiven(z) ? tensors.allocate(z.shape) : undefined;
  const block = Math.min(512, Math.max(32, Math.ceil(groupSize / 128) * 32));
  withTemporaries(runtime, (temporaries) => {
    const parts = temporaries.allocate(blocks * columns * 4);
    runtime.launch(
      'rms_norm_grad',
      { grid: [blocks, columns / groupSize], block },
      [
        ...[tensors.address(x), optionalAddress(tensors, z), tensors.address(weight)],
        ...[tensors.address(dy), dx.address, dz?.address ?? 0, parts],
      ],
      [rows, columns, groupSize, perBlock, normBeforeGate ? 1 : 0],
      [eps],
    );
    sumMiddle(runtime, parts, dweight.address, 1, blocks, columns);
  });
  return [dx.info, dweight.info, ...(dz ? [dz.info] : [])];
}
