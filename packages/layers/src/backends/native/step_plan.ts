// A model as addresses and sizes: what the launches of a compiled decode step need.
import type * as tf from '@tensorflow/tfjs-core';
import type { MixerParts, NormParts } from '../../mixer_parts.js';
import { attentionCall } from '../../ops/attention_mixer.js';
import { mlpCall } from '../../ops/gated_mlp.js';
import { mamba2Call } from '../../ops/mamba2_mixer.js';
import type { StepModel } from '../../step.js';
import { type PackedWeight, packedWeightAttrs } from '../../weights/packed_weight.js';
import { type AttentionWeights, attentionWeights } from './attention_mixer.js';
import type { InputNorm, Projection } from './calls.js';
import { type MlpWeights, mlpWeights } from './gated_mlp.js';
import type { NativeTensors } from './kernel.js';
import { type Mamba2Weights, mamba2Weights } from './mamba2_mixer.js';
import { projection } from './weights.js';

export type StepBlock = { norm: InputNorm; isParallel: boolean; streamFactor: number } & (
  | { kind: 'mamba2'; weights: Mamba2Weights }
  | { kind: 'attention'; weights: AttentionWeights }
  | { kind: 'mlp'; weights: MlpWeights }
);

export interface StepPlan {
  embedding: Projection;
  embeddingScale: number;
  blocks: readonly StepBlock[];
  normF: InputNorm;
  head: Projection;
  dModel: number;
  /** Logits of a sequence. */
  vocabulary: number;
  /** Number of logits that belong to tokens. */
  vocabSize: number;
}

/** Moves weights that are still on the host to the backend's memory. */
export function stepPlan(tensors: NativeTensors, model: StepModel): StepPlan {
  const { embedding, head } = model;
  return {
    embedding: packedProjection(tensors, embedding),
    embeddingScale: model.embeddingScale ?? 1,
    blocks: model.blocks.map(({ norm, mixer, isParallel = false, streamFactor = 1 }) => ({
      norm: normPlan(tensors, norm),
      isParallel,
      streamFactor,
      ...mixerPlan(tensors, mixer),
    })),
    normF: normPlan(tensors, model.normF),
    head: packedProjection(tensors, head, model.headBias),
    dModel: embedding.shape[1],
    vocabulary: head.shape[0],
    vocabSize: model.vocabSize,
  };
}

function mixerPlan(tensors: NativeTensors, parts: MixerParts) {
  switch (parts.kind) {
    case 'mamba2': {
      const { inputs, attrs } = mamba2Call(parts.weights, parts.sizes);
      return { kind: parts.kind, weights: mamba2Weights(tensors, inputs, attrs) } as const;
    }
    case 'mlp': {
      const { inputs, attrs } = mlpCall(parts.weights, parts.activation, parts.eps);
      return { kind: parts.kind, weights: mlpWeights(tensors, inputs, attrs) } as const;
    }
    case 'attention': {
      const { inputs, attrs } = attentionCall(parts, parts);
      return { kind: parts.kind, weights: attentionWeights(tensors, inputs, attrs) } as const;
    }
  }
}

function packedProjection(
  tensors: NativeTensors,
  weight: PackedWeight,
  bias?: tf.Tensor,
): Projection {
  return projection('compileStep', tensors, weight.tensor, packedWeightAttrs(weight), bias);
}

function normPlan(tensors: NativeTensors, { weight, eps }: NormParts): InputNorm {
  return { weight: tensors.address(weight), groupSize: weight.size, eps };
}
