// PackedMatMul from tfjs-core ops, for weights in plain rows.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import { defineKernel } from '../../registry.js';
import type { PackedWeightAttrs } from '../../weights/packed_weight.js';
import { activate } from './activations.js';

export const packedMatMulKernel = defineKernel(
  'PackedMatMul',
  ({ x, weight, bias, residual }, { weight: packed, activation }) => {
    requireRows('PackedMatMul', packed);
    const [outFeatures = 0, inFeatures = 0] = packed.shape;
    const rows = tf.reshape(x, [-1, inFeatures]);
    let y = tf.matMul(rows, weight, false, true) as tf.Tensor;
    if (bias) y = tf.add(y, bias);
    y = tf.reshape(activate(y, activation), [...x.shape.slice(0, -1), outFeatures]);
    return residual ? tf.add(y, residual) : y;
  },
);

/** Composed kernels read plain f32 rows. A weight packed for another backend is refused. */
export function requireRows(kernelName: string, { layout, format }: PackedWeightAttrs): void {
  if (layout === 'rows') return;
  throw new BackendError(
    `${kernelName}: the backend '${tf.getBackend()}' has no kernel for ${format} weights packed as ` +
      `'${layout}'; use a model on the backend that loaded it`,
  );
}
