// RmsNorm, GatedRmsNorm and their gradients.
import type * as tf from '@tensorflow/tfjs-core';
import type { GatedRmsNormAttrs, KernelInputs } from '../../kernels.js';
import {
  addressesOf,
  gradientKernel,
  type NativeTensors,
  nativeKernel,
  optionalAddress,
  outputsLike,
} from './kernel.js';
import type { NativeGradientOps } from './ops.js';

export const rmsNormKernel = nativeKernel('RmsNorm', (inputs, { eps }, tensors) =>
  norm(tensors, inputs, ungated(inputs.x, eps)),
);

export const gatedRmsNormKernel = nativeKernel('GatedRmsNorm', (inputs, attrs, tensors) =>
  norm(tensors, inputs, attrs),
);

/** Outputs [dx, dweight]. */
export const rmsNormGradKernel = gradientKernel('RmsNormGrad', (inputs, { eps }, tensors) =>
  normGrad(tensors, inputs, ungated(inputs.x, eps)),
);

/** Outputs [dx, dweight, dz?]. */
export const gatedRmsNormGradKernel = gradientKernel('GatedRmsNormGrad', (inputs, attrs, tensors) =>
  normGrad(tensors, inputs, attrs),
);

function ungated(x: tf.Tensor, eps: number): GatedRmsNormAttrs {
  return { groupSize: x.shape.at(-1) ?? 0, eps, normBeforeGate: false };
}

function norm(
  tensors: NativeTensors,
  { x, z, weight }: KernelInputs<'GatedRmsNorm'>,
  attrs: GatedRmsNormAttrs,
): tf.TensorInfo {
  const y = tensors.allocate(x.shape);
  const columns = x.shape.at(-1) ?? 0;
  tensors.ops.norm({
    weight: tensors.address(weight),
    groupSize: attrs.groupSize,
    eps: attrs.eps,
    z: optionalAddress(tensors, z),
    zStride: columns,
    normBeforeGate: attrs.normBeforeGate,
    x: tensors.address(x),
    xStride: columns,
    xFormat: 'f32',
    y: y.address,
    yStride: columns,
    yFormat: 'f32',
    rows: x.size / columns,
    columns,
  });
  return y.info;
}

function normGrad(
  tensors: NativeTensors<NativeGradientOps>,
  { x, z, weight, dy }: KernelInputs<'GatedRmsNorm'> & { dy: tf.Tensor },
  attrs: GatedRmsNormAttrs,
): tf.TensorInfo[] {
  const columns = x.shape.at(-1) ?? 0;
  const { infos, addresses } = outputsLike(tensors, { dx: x, dweight: weight, dz: z });
  const read = addressesOf(tensors, { x, z, weight, dy });
  const { groupSize, eps, normBeforeGate } = attrs;
  const sizes = { groupSize, eps, normBeforeGate, rows: x.size / columns, columns };
  tensors.ops.normGrad(Object.assign(addresses, read, sizes));
  return infos;
}
