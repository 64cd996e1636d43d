// The inputs and attributes of the mixers' kernels, from a layer's weights and sizes; without x and states.
import type { Activation } from './kernels.js';
import type { AttentionMixerSizes, AttentionMixerWeights } from './ops/attention_mixer.js';
import type { GatedMLPWeights } from './ops/gated_mlp.js';
import type { Mamba2MixerSizes, Mamba2MixerWeights } from './ops/mamba2_mixer.js';
import { packedWeightAttrs } from './weights/packed_weight.js';

export function mamba2Call(weights: Mamba2MixerWeights, sizes: Mamba2MixerSizes) {
  return {
    inputs: { ...weights, ...projectionInputs(weights) },
    attrs: { ...sizes, ...projectionAttrs(weights) },
  };
}

export function attentionCall(weights: AttentionMixerWeights, sizes: AttentionMixerSizes) {
  return {
    inputs: { ...weights, ...projectionInputs(weights) },
    attrs: { ...sizes, ...projectionAttrs(weights) },
  };
}

export function mlpCall(weights: GatedMLPWeights, activation: Activation, eps: number) {
  const { gateProj, ...rest } = weights;
  return {
    inputs: { ...rest, ...projectionInputs(rest), gateProj: gateProj?.tensor },
    attrs: {
      ...{ activation, eps },
      ...projectionAttrs(rest),
      ...(gateProj && { gateProj: packedWeightAttrs(gateProj) }),
    },
  };
}

type Projections = Pick<Mamba2MixerWeights, 'inProj' | 'outProj'>;

function projectionInputs({ inProj, outProj }: Projections) {
  return { inProj: inProj.tensor, outProj: outProj.tensor };
}

function projectionAttrs({ inProj, outProj }: Projections) {
  return { inProj: packedWeightAttrs(inProj), outProj: packedWeightAttrs(outProj) };
}
