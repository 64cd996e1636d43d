// Packed weights as addresses, and a check that this backend packed them.
import type * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import type { PackedWeightAttrs } from '../../weights/packed_weight.js';
import type { Projection } from './calls.js';
import { type NativeTensors, optionalAddress } from './kernel.js';
import type { NativeTraits } from './ops.js';

/** A weight and its bias as addresses. @throws BackendError for a weight that another backend packed */
export function projection(
  kernelName: string,
  tensors: NativeTensors,
  weight: tf.TensorInfo,
  attrs: PackedWeightAttrs,
  bias?: tf.TensorInfo,
): Required<Projection> {
  checkLayout(kernelName, tensors.ops, attrs);
  return { weight: tensors.address(weight), attrs, bias: optionalAddress(tensors, bias) };
}

/** @throws BackendError for a weight that another backend packed */
export function checkLayout(
  kernelName: string,
  { backendName, weightLayouts }: NativeTraits,
  { layout, format }: PackedWeightAttrs,
): void {
  if (layout === 'rows' || weightLayouts.includes(layout)) return;
  throw new BackendError(
    `${kernelName}: the backend '${backendName}' has no kernel for ${format} weights packed as ` +
      `'${layout}'; use a model on the backend that loaded it`,
  );
}
