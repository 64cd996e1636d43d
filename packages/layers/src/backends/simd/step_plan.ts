// A model as the addresses and sizes that a compiled step's jobs need.
import type * as tf from '@tensorflow/tfjs-core';
import type {
  GatedMLPAttrs,
  Mamba2MixerAttrs,
  SlidingWindowAttentionAttrs,
} from '../../kernel_names.js';
import { mamba2Call, mlpCall } from '../../mixer_calls.js';
import type { MixerParts, NormParts, StepModel } from '../../step.js';
import {
  type PackedWeight,
  type PackedWeightAttrs,
  packedWeightAttrs,
} from '../../weights/packed_weight.js';
import type { SimdBackend } from './backend.js';
import type { MLPWeights } from './gated_mlp.js';
import { optionalAddress } from './kernel.js';
import { checkLayout } from './layout.js';
import type { Mamba2Weights } from './mamba2_mixer.js';

/** A packed weight and the bias that goes with it; 0 for none. */
export interface Projection {
  weight: number;
  bias: number;
  attrs: PackedWeightAttrs;
}

export interface Norm {
  weight: number;
  eps: number;
}

export interface AttentionPlan extends Pick<SlidingWindowAttentionAttrs, 'window' | 'scale'> {
  inProj: Projection;
  outProj: Projection;
  heads: number;
  kvHeads: number;
  headDim: number;
}

export type StepBlock = { norm: Norm } & (
  | { kind: 'mamba2'; inputs: Mamba2Weights; attrs: Mamba2MixerAttrs }
  | { kind: 'attention'; attention: AttentionPlan }
  | { kind: 'mlp'; inputs: MLPWeights; attrs: GatedMLPAttrs }
);

export interface StepPlan {
  embedding: Projection;
  blocks: readonly StepBlock[];
  normF: Norm;
  head: Projection;
  dModel: number;
  /** Logits of a row. */
  vocabulary: number;
}

export function stepPlan(backend: SimdBackend, model: StepModel): StepPlan {
  const { embedding, head } = model;
  return {
    embedding: projection(backend, embedding),
    blocks: model.blocks.map(({ norm, mixer }) => ({
      norm: normPlan(backend, norm),
      ...mixerPlan(backend, mixer),
    })),
    normF: normPlan(backend, model.normF),
    head: projection(backend, head, model.headBias),
    dModel: embedding.shape[1],
    vocabulary: head.shape[0],
  };
}

function mixerPlan(backend: SimdBackend, parts: MixerParts) {
  switch (parts.kind) {
    case 'mamba2':
      return { kind: parts.kind, ...mamba2Call(parts) } as const;
    case 'mlp':
      return { kind: parts.kind, ...mlpCall(parts) } as const;
    case 'attention': {
      const { heads, kvHeads, headDim, window, scale } = parts;
      const attention = {
        inProj: projection(backend, parts.inProj, parts.inProjBias),
        outProj: projection(backend, parts.outProj, parts.outProjBias),
        ...{ heads, kvHeads, headDim, window, scale },
      };
      return { kind: parts.kind, attention } as const;
    }
  }
}

function projection(backend: SimdBackend, weight: PackedWeight, bias?: tf.Tensor): Projection {
  const [tensor] = weight.tensors;
  const attrs = packedWeightAttrs(weight);
  checkLayout('compileStep', attrs);
  return {
    weight: tensor ? backend.address(tensor) : 0,
    bias: optionalAddress(backend, bias),
    attrs,
  };
}

function normPlan(backend: SimdBackend, { weight, eps }: NormParts): Norm {
  return { weight: backend.address(weight), eps };
}
