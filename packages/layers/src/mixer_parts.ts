// Weights and sizes of a layer, for backends that compile a decode step.
import type * as tf from '@tensorflow/tfjs-core';
import type { Activation } from './kernels.js';
import type { AttentionMixerSizes, AttentionMixerWeights } from './ops/attention_mixer.js';
import type { GatedMLPWeights } from './ops/gated_mlp.js';
import type { Mamba2MixerSizes, Mamba2MixerWeights } from './ops/mamba2_mixer.js';

/** An RMS norm. */
export interface NormParts {
  /** (dModel) */
  weight: tf.Tensor;
  eps: number;
}

/** The weights and sizes of a mixer. */
export type MixerParts =
  | { kind: 'mamba2'; weights: Mamba2MixerWeights; sizes: Mamba2MixerSizes }
  | ({ kind: 'attention' } & AttentionMixerWeights & AttentionMixerSizes)
  | {
      kind: 'mlp';
      weights: GatedMLPWeights;
      activation: Activation;
      /** Epsilon of the inner norm. */
      eps: number;
    };
