// SlidingWindowAttention: multi-head, grouped-query or multi-query attention within a window.
import * as tf from '@tensorflow/tfjs-core';
import { InvalidArgumentError } from '../errors.js';
import {
  emptyKvCache,
  grownKvCache,
  kvCacheBytes,
  kvCacheFormatFor,
  kvCacheFormatOf,
  kvCacheFromBytes,
  kvCacheShapeOf,
} from '../kv_cache.js';
import type { MixerParts } from '../mixer_parts.js';
import {
  type AttentionMixerSizes,
  type AttentionMixerWeights,
  attentionMixer,
} from '../ops/attention_mixer.js';
import { narrow } from '../weights/narrow.js';
import type { LayerState, Mixer, ReadTensor, StoredTensor } from './layer.js';
import { Linear } from './linear.js';
import { type ParameterSpec, type Parameters, withPrefix } from './parameters.js';
import { checkShape, sameKind } from './stored_state.js';

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

/**
 * KV cache of the last tokens. It grows up to the window. It is f32 with f32 weights and on backends
 * without bf16 caches, else bf16; `kvCacheValues` reads both.
 */
export class AttentionState implements LayerState {
  constructor(
    private cacheK: tf.Tensor,
    private cacheV: tf.Tensor,
    private seen: readonly number[],
  ) {
    tf.keep(cacheK);
    tf.keep(cacheV);
  }

  /**
   * (B, capacity, numHeadsKv, headDim), with position t at slot t mod capacity; bf16 values are stored in
   * pairs, int32 (B, numHeadsKv, capacity, headDim / 2).
   */
  get k(): tf.Tensor {
    return this.cacheK;
  }

  /** The values, in k's layout. */
  get v(): tf.Tensor {
    return this.cacheV;
  }

  /** Tokens seen by each row. */
  get positions(): readonly number[] {
    return this.seen;
  }

  /** Takes ownership of these tensors and frees the old ones. */
  replace(k: tf.Tensor, v: tf.Tensor, positions: readonly number[]): void {
    tf.keep(k);
    tf.keep(v);
    this.dispose();
    this.cacheK = k;
    this.cacheV = v;
    this.seen = positions;
  }

  get form(): string {
    const [, , heads, dim] = kvCacheShapeOf(this.cacheK);
    const format = kvCacheFormatOf(this.cacheK) === 'bf16' ? ' bf16' : '';
    return `k${format} [${heads}, ${dim}], v${format} [${heads}, ${dim}]`;
  }

  save(): StoredTensor[] {
    return Object.entries({ k: this.cacheK, v: this.cacheV }).map(([name, cache]) => ({
      name,
      dtype: kvCacheFormatOf(cache) === 'bf16' ? 'BF16' : 'F32',
      shape: kvCacheShapeOf(cache),
      bytes: () => kvCacheBytes(cache),
    }));
  }

  /** An independent copy. Memory is shared until one of them advances. */
  clone(): AttentionState {
    return new AttentionState(tf.clone(this.cacheK), tf.clone(this.cacheV), this.seen);
  }

  gather(rows: readonly number[]): AttentionState {
    const index = tf.tensor1d([...rows], 'int32');
    const state = new AttentionState(
      tf.gather(this.cacheK, index),
      tf.gather(this.cacheV, index),
      rows.map((row) => this.seen[row] ?? 0),
    );
    index.dispose();
    return state;
  }

  /** A cache below the window has not wrapped yet, so it is only extended. */
  concat(others: readonly LayerState[]): AttentionState {
    const states = [this, ...sameKind(AttentionState, others)];
    const capacity = Math.max(...states.map((s) => kvCacheShapeOf(s.k)[1]));
    const join = (caches: tf.Tensor[]) =>
      tf.tidy(() =>
        tf.concat(
          caches.map((cache) =>
            kvCacheShapeOf(cache)[1] === capacity ? cache : grownKvCache(cache, capacity),
          ),
        ),
      );
    return new AttentionState(
      join(states.map((s) => s.k)),
      join(states.map((s) => s.v)),
      states.flatMap((s) => s.positions),
    );
  }

  /** Frees its tensors. */
  dispose(): void {
    this.cacheK.dispose();
    this.cacheV.dispose();
  }
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
    const cache = ({ values }: { values: Float32Array }) => {
      const bytes = narrow(values, format === 'bf16' ? 'BF16' : 'F32');
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
