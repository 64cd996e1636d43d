// What the kernels Mamba2Mixer and GatedMLP take of a layer's parts: for backends that compile steps.
import type { MixerParts } from './step.js';
import { packedWeightAttrs, packedWeightInputs } from './weights/packed_weight.js';

/** Inputs, without x and states, and attributes. */
export function mamba2Call(parts: Extract<MixerParts, { kind: 'mamba2' }>) {
  const { inProj, outProj, ...tensors } = parts.weights;
  return {
    inputs: {
      ...tensors,
      ...packedWeightInputs('inProj', inProj),
      ...packedWeightInputs('outProj', outProj),
    },
    attrs: {
      ...parts.sizes,
      inProj: packedWeightAttrs(inProj),
      outProj: packedWeightAttrs(outProj),
    },
  };
}

/** Inputs, without x, and attributes. */
export function mlpCall(parts: Extract<MixerParts, { kind: 'mlp' }>) {
  const { inProj, outProj, gateProj, ...tensors } = parts.weights;
  return {
    inputs: {
      ...tensors,
      ...packedWeightInputs('inProj', inProj),
      ...packedWeightInputs('outProj', outProj),
      ...(gateProj && packedWeightInputs('gateProj', gateProj)),
    },
    attrs: {
      activation: parts.activation,
      eps: parts.eps,
      inProj: packedWeightAttrs(inProj),
      outProj: packedWeightAttrs(outProj),
      ...(gateProj && { gateProj: packedWeightAttrs(gateProj) }),
    },
  };
}
