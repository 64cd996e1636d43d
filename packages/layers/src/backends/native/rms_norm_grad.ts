// RmsNormGrad and GatedRmsNormGrad. Outputs [dx, dweight, dz?].
import type * as tf from '@tensorflow/tfjs-core';
import {
  gradientKernel,
  infosOf,
  type NativeTensors,
  optionalAddress,
  optionalOutput,
} from './kernel.js';
import type { NativeGradientOps } from './ops.js';

export const rmsNormGradKernel = gradientKernel('RmsNormGrad', (inputs, { eps }, tensors) =>
  normGrad(tensors, inputs, {
    groupSize: inputs.x.shape.at(-1) ?? 0,
    eps,
    normBeforeGate: false,
  }),
);

export const gatedRmsNormGradKernel = gradientKernel('GatedRmsNormGrad', (inputs, attrs, tensors) =>
  normGrad(tensors, inputs, attrs),
);

function normGrad(
  tensors: NativeTensors<NativeGradientOps>,
  { x, z, weight, dy }: { x: tf.Tensor; z?: tf.Tensor; weight: tf.Tensor; dy: tf.Tensor },
  { groupSize, eps, normBeforeGate }: { groupSize: number; eps: number; normBeforeGate: boolean },
): tf.TensorInfo[] {
  const columns = x.shape.at(-1) ?? 0;
  const dx = tensors.allocate(x.shape);
  const dweight = tensors.allocate(weight.shape);
  const dz = optionalOutput(tensors, z);
  tensors.ops.normGrad({
    x: tensors.address(x),
    z: optionalAddress(tensors, z),
    weight: tensors.address(weight),
    dy: tensors.address(dy),
    dx: dx.address,
    dweight: dweight.address,
    dz: dz?.address ?? 0,
    rows: x.size / columns,
    columns,
    groupSize,
    eps,
    normBeforeGate,
  });
  return infosOf([dx, dweight, dz]);
}
