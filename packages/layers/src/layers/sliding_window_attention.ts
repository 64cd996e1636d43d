// SlidingWindowAttention: multi-head, grouped-query or multi-query attention within a window.
import * as tf from '@tensorflow/tfjs-core';
import { InvalidArgumentError } from '../errors.js';
import { emptyKvCache, kvCacheFormatFor, kvCacheFromBytes } from '../kv_cache.js';
import type { MixerParts } from '../mixer_parts.js';
import {
  type AttentionMixerSizes,
  type AttentionMixerWeights,
  attentionMixer,
} from '../ops/attention_mixer.js';
import { narrow } from '../weights/narrow.js';
import { AttentionState } from './attention_state.js';
import type { Mixer, ReadTensor, StoredValues } from './layer.js';
import { Linear } from './linear.js';
import { type ParameterSpec, type Parameters, withPrefix } from './parameters.js';
import { checkShape } from './stored_state.js';

/** Sizes and options of an attention layer. */
export interface AttentionConfig {
  dModel: number;
  numHeads: number;
  /** Heads of keys and values. Default: numHeads. */
  numHeadsKv?: number | null;
  /** Default: dModel / numHeads. */
  headDim?: number | null;
  /** Default: false. */
  qkvProjBias?: boolean;
  /** Default: false. */
  outProjBias?: boolean;
  /** Number of tokens that a token attends to, itself included. Default: null, no limit. */
  window?: number | null;
  /** Factor on the scores. Default: 1 / sqrt(headDim). */
  softmaxScale?: number | null;
  /**
   * Inverse frequencies of rotary positions, in radians a token. They turn the first numbers of each head, two
   * a frequency. Default: no positions.
   */
  rotaryFrequencies?: readonly number[] | null;
}

export class SlidingWindowAttention implements Mixer<AttentionState> {
  private readonly sizes: AttentionMixerSizes;
  private readonly inProj: Linear;
  private readonly outProj: Linear;
  private readonly rotary: tf.Tensor | undefined;

  /** @param parameters those of SlidingWindowAttention.parameters(config) */
  constructor(
    private readonly config: AttentionConfig,
    parameters: Parameters,
  ) {
    this.sizes = sizesOf(config);
    this.inProj = new Linear(parameters.scope('in_proj.'));
    this.outProj = new Linear(parameters.scope('out_proj.'));
    const { rotaryFrequencies } = config;
    if (rotaryFrequencies) this.rotary = tf.keep(tf.tensor1d([...rotaryFrequencies]));
  }

  /** Its parameters, by their names in a checkpoint. */
  static parameters(config: AttentionConfig): ParameterSpec[] {
    const { dModel, qkvProjBias = false, outProjBias = false } = config;
    const { heads, kvHeads, headDim } = sizesOf(config);
    const projection = (heads + 2 * kvHeads) * headDim;
    return [
      ...withPrefix('in_proj.', Linear.parameters(dModel, projection, qkvProjBias)),
      ...withPrefix('out_proj.', Linear.parameters(heads * headDim, dModel, outProjBias)),
    ];
  }

  forward(x: tf.Tensor, state?: AttentionState, residual?: tf.Tensor): tf.Tensor {
    return tf.tidy(() => {
      const { y, cache } = attentionMixer(x, this.weights(), this.sizes, state, residual);
      if (state && cache) state.replace(cache.k, cache.v, cache.positions);
      return y;
    });
  }

  parts(): MixerParts {
    return { kind: 'attention', ...this.weights(), ...this.sizes };
  }

  initialState(batch: number): AttentionState {
    const { kvHeads, headDim } = this.sizes;
    const capacity = Math.min(this.config.window ?? firstCapacity, firstCapacity);
    const shape = [batch, capacity, kvHeads, headDim] as const;
    const format = kvCacheFormatFor(this.inProj.weight.format, headDim);
    const cache = () => emptyKvCache(shape, format);
    return new AttentionState(cache(), cache(), Array(batch).fill(0));
  }

  /** Stored keys and values may be f32 or bf16, independent of what this layer uses. */
  async restoreState(read: ReadTensor, positions: readonly number[]): Promise<AttentionState> {
    const { kvHeads, headDim, window } = this.sizes;
    const [k, v] = [await read('k'), await read('v')];
    for (const [name, { shape }] of Object.entries({ k, v })) {
      checkShape(name, shape, [positions.length, k.shape[1] ?? 0, kvHeads, headDim]);
    }
    const [, capacity = 0] = k.shape;
    const needed = Math.min(window, Math.max(...positions));
    if (capacity < needed || capacity > window) {
      throw new InvalidArgumentError('k', `${needed} keys, at most ${window}`, String(capacity));
    }
    const format = kvCacheFormatFor(this.inProj.weight.format, headDim);
    const cache = (stored: StoredValues) => {
      const bytes =
        format === 'f32'
          ? narrow(stored.values, 'F32')
          : (stored.bf16 ?? narrow(stored.values, 'BF16'));
      return kvCacheFromBytes(bytes, [positions.length, capacity, kvHeads, headDim], format);
    };
    return new AttentionState(cache(k), cache(v), positions);
  }

  /** Frees its tensors. */
  dispose(): void {
    this.rotary?.dispose();
  }

  private weights(): AttentionMixerWeights {
    return {
      inProj: this.inProj.weight,
      inProjBias: this.inProj.bias,
      outProj: this.outProj.weight,
      outProjBias: this.outProj.bias,
      rotary: this.rotary,
    };
  }
}

/** Slots of a new cache; it doubles as it fills. */
const firstCapacity = 32;

function sizesOf(config: AttentionConfig): AttentionMixerSizes {
  const { dModel, numHeads, numHeadsKv, headDim, window, softmaxScale } = config;
  const kvHeads = numHeadsKv ?? numHeads;
  const dim = headDim ?? dModel / numHeads;
  if (!Number.isInteger(numHeads / kvHeads)) {
    throw new InvalidArgumentError(
      'SlidingWindowAttention: numHeadsKv',
      `a divisor of numHeads = ${numHeads}`,
      String(numHeadsKv),
    );
  }
  if (!Number.isInteger(dim)) {
    throw new InvalidArgumentError(
      'SlidingWindowAttention: numHeads',
      `a divisor of dModel = ${dModel} where headDim is not given`,
      String(numHeads),
    );
  }
  return {
    heads: numHeads,
    kvHeads,
    headDim: dim,
    window: window ?? Number.POSITIVE_INFINITY,
    scale: softmaxScale ?? 1 / Math.sqrt(dim),
  };
}
