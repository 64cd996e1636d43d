// A model as addresses: what a compiled step's launches need to know of it.
import type * as tf from '@tensorflow/tfjs-core';
import { mamba2Call, mlpCall } from '../../mixer_calls.js';
import type { MixerParts, NormParts, StepModel } from '../../step.js';
import { type PackedWeight, packedWeightAttrs } from '../../weights/packed_weight.js';
import type { AttentionAddresses, Projection } from './attention_mixer.js';
import type { CudaBackend } from './backend.js';
import { type MLPAddresses, mlpAddresses } from './gated_mlp.js';
import { optionalAddress } from './kernel.js';
import { checkLayout } from './layout.js';
import type { NormBefore } from './linear.js';
import { type Mamba2Addresses, mamba2Addresses } from './mamba2_mixer.js';

export type StepBlock = { norm: NormBefore } & (
  | { kind: 'mamba2'; weights: Mamba2Addresses }
  | {
      kind: 'attention';
      weights: AttentionAddresses;
      /** Whether its ring holds bf16 numbers: with weights that are not f32. */
      bf16Ring: boolean;
    }
  | { kind: 'mlp'; weights: MLPAddresses }
);

export interface StepPlan {
  embedding: Projection;
  blocks: readonly StepBlock[];
  normF: NormBefore;
  head: Projection;
  dModel: number;
  /** Logits of a row, and how many of them are of tokens. */
  vocabulary: number;
  vocabSize: number;
}

/** Moves to the GPU what is not there yet. */
export function stepPlan(backend: CudaBackend, model: StepModel): StepPlan {
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
    vocabSize: model.vocabSize,
  };
}

function mixerPlan(backend: CudaBackend, parts: MixerParts) {
  switch (parts.kind) {
    case 'mamba2': {
      const { inputs, attrs } = mamba2Call(parts);
      return { kind: parts.kind, weights: mamba2Addresses(backend, inputs, attrs) } as const;
    }
    case 'mlp': {
      const { inputs, attrs } = mlpCall(parts);
      return { kind: parts.kind, weights: mlpAddresses(backend, inputs, attrs) } as const;
    }
    case 'attention': {
      const { heads, kvHeads, headDim, window, scale } = parts;
      const weights: AttentionAddresses = {
        inProj: projection(backend, parts.inProj, parts.inProjBias),
        outProj: projection(backend, parts.outProj, parts.outProjBias),
        ...{ heads, kvHeads, headDim, window, scale },
      };
      const bf16Ring = parts.inProj.format !== 'f32';
      return { kind: parts.kind, weights, bf16Ring } as const;
    }
  }
}

function projection(backend: CudaBackend, weight: PackedWeight, bias?: tf.Tensor): Projection {
  const [tensor] = weight.tensors;
  const attrs = packedWeightAttrs(weight);
  checkLayout('compileStep', attrs);
  return {
    weight: tensor ? backend.address(tensor) : 0,
    bias: optionalAddress(backend, bias),
    attrs,
  };
}

function normPlan(backend: CudaBackend, { weight, eps }: NormParts): NormBefore {
  return { weight: backend.address(weight), groupSize: weight.size, eps };
}
