// GatedMLP from the primitives: the composed kernel, and what a gradient tape records.
import type * as tf from '@tensorflow/tfjs-core';
import type { GatedMLPAttrs, KernelInputs } from '../../kernels.js';
import { gatedActivation } from '../../ops/gated_activation.js';
import { rmsNorm } from '../../ops/rms_norm.js';
import { defineKernel, runKernel1 } from '../../registry.js';

export function decomposeGatedMLP(
  inputs: KernelInputs<'GatedMLP'>,
  attrs: GatedMLPAttrs,
): tf.Tensor {
  const { x, normWeight, residual } = inputs;
  const projected = runKernel1(
    'PackedMatMul',
    { x, ...linearInputs(inputs, 'inProj') },
    { weight: attrs.inProj, activation: 'linear' },
  );
  const gate =
    attrs.gateProj && inputs.gateProj
      ? runKernel1(
          'PackedMatMul',
          { x, ...linearInputs(inputs, 'gateProj') },
          { weight: attrs.gateProj, activation: 'linear' },
        )
      : null;
  let hidden = gatedActivation(projected, gate, attrs.activation);
  if (normWeight) hidden = rmsNorm(hidden, normWeight, attrs.eps);
  return runKernel1(
    'PackedMatMul',
    { x: hidden, ...linearInputs(inputs, 'outProj'), residual },
    { weight: attrs.outProj, activation: 'linear' },
  );
}

export const gatedMLPKernel = defineKernel('GatedMLP', decomposeGatedMLP);

/** The inputs of the linear map `name` of the MLP, as PackedMatMul takes them. */
function linearInputs(
  inputs: KernelInputs<'GatedMLP'>,
  name: 'inProj' | 'gateProj' | 'outProj',
): Omit<KernelInputs<'PackedMatMul'>, 'x'> {
  const weight = inputs[name];
  if (!weight) throw new Error(`the weight of ${name} is missing`);
  return {
    weight,
    bias: inputs[`${name}Bias`],
  };
}
