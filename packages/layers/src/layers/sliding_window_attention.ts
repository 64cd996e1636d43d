// SlidingWindowAttention: multi-head, grouped or multi-query attention to a window of tokens.
import * as tf from '@tensorflow/tfjs-core';
import { InvalidArgumentError } from '../errors.js';
import {
  emptyRing,
  grownRing,
  ringBytes,
  ringFormatBeside,
  ringFormatOf,
  ringFromBytes,
  ringShapeOf,
} from '../kv_ring.js';
import {
  type AttentionMixerSizes,
  type AttentionMixerWeights,
  attentionMixer,
} from '../ops/attention_mixer.js';
import type { MixerParts } from '../step.js';
import { narrow } from '../weights/narrow.js';
import type { LayerState, Mixer, ReadTensor, StoredTensor } from './layer.js';
import { Linear } from './linear.js';
import { type ParameterSpec, type Parameters, under } from './parameters.js';
import { checkShape, sameKind } from './stored_state.js';

/** Sizes and options of an attention layer. */
export interface AttentionConfig {
  dModel: number;
  numHeads: number;
  /** Heads of keys and values; numHeads unless given. */
  numHeadsKv?: number | null;
  /** dModel / numHeads unless given. */
  headDim?: number | null;
  /** false. */
  qkvProjBias?: boolean;
  /** false. */
  outProjBias?: boolean;
  /** Tokens that a token sees, itself included; null (the default) for all before it. */
  window?: number | null;
  /** 1 / sqrt(headDim) unless given. */
  softmaxScale?: number | null;
}

/**
 * Keys and values of the last tokens, in a ring that grows until it is as long as the window. Beside f32
 * weights, and on backends without bf16 rings, its numbers are f32; else bf16: `ringValues` reads both.
 */
export class AttentionState implements LayerState {
  constructor(
    private ringK: tf.Tensor,
    private ringV: tf.Tensor,
    private seen: readonly number[],
  ) {
    tf.keep(ringK);
    tf.keep(ringV);
  }

  /**
   * (B, capacity, numHeadsKv, headDim), the token of position t at slot t mod capacity; bf16 numbers
   * stand by twos, int32 (B, numHeadsKv, capacity, headDim / 2).
   */
  get k(): tf.Tensor {
    return this.ringK;
  }

  /** Like k. */
  get v(): tf.Tensor {
    return this.ringV;
  }

  /** Tokens seen by each row. */
  get positions(): readonly number[] {
    return this.seen;
  }

  /** Takes over these tensors and frees the ones before. */
  replace(k: tf.Tensor, v: tf.Tensor, positions: readonly number[]): void {
    tf.keep(k);
    tf.keep(v);
    this.dispose();
    this.ringK = k;
    this.ringV = v;
    this.seen = positions;
  }

  get form(): string {
    const [, , heads, dim] = ringShapeOf(this.ringK);
    const format = ringFormatOf(this.ringK) === 'bf16' ? ' bf16' : '';
    return `k${format} [${heads}, ${dim}], v${format} [${heads}, ${dim}]`;
  }

  save(): StoredTensor[] {
    return Object.entries({ k: this.ringK, v: this.ringV }).map(([name, ring]) => ({
      name,
      dtype: ringFormatOf(ring) === 'bf16' ? 'BF16' : 'F32',
      shape: ringShapeOf(ring),
      bytes: () => ringBytes(ring),
    }));
  }

  /** An independent copy; memory is shared until one of them moves on. */
  clone(): AttentionState {
    return new AttentionState(tf.clone(this.ringK), tf.clone(this.ringV), this.seen);
  }

  gather(rows: readonly number[]): AttentionState {
    const index = tf.tensor1d([...rows], 'int32');
    const state = new AttentionState(
      tf.gather(this.ringK, index),
      tf.gather(this.ringV, index),
      rows.map((row) => this.seen[row] ?? 0),
    );
    index.dispose();
    return state;
  }

  /** A shorter ring buffer has not wrapped yet, so it is only filled up. */
  concat(others: readonly LayerState[]): AttentionState {
    const states = [this, ...sameKind(AttentionState, others)];
    const capacity = Math.max(...states.map((s) => ringShapeOf(s.k)[1]));
    const join = (rings: tf.Tensor[]) =>
      tf.tidy(() =>
        tf.concat(
          rings.map((ring) =>
            ringShapeOf(ring)[1] === capacity ? ring : grownRing(ring, capacity),
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
    this.ringK.dispose();
    this.ringV.dispose();
  }
}

export class SlidingWindowAttention implements Mixer<AttentionState> {
  private readonly sizes: AttentionMixerSizes;
  private readonly inProj: Linear;
  private readonly outProj: Linear;

  /** @param parameters those of SlidingWindowAttention.parameters(config) */
  constructor(
    private readonly config: AttentionConfig,
    parameters: Parameters,
  ) {
    this.sizes = sizesOf(config);
    this.inProj = new Linear(parameters.scope('in_proj.'));
    this.outProj = new Linear(parameters.scope('out_proj.'));
  }

  /** Its parameters, by their names in a checkpoint. */
  static parameters(config: AttentionConfig): ParameterSpec[] {
    const { dModel, qkvProjBias = false, outProjBias = false } = config;
    const { heads, kvHeads, headDim } = sizesOf(config);
    const projection = (heads + 2 * kvHeads) * headDim;
    return [
      ...under('in_proj.', Linear.parameters(dModel, projection, qkvProjBias)),
      ...under('out_proj.', Linear.parameters(heads * headDim, dModel, outProjBias)),
    ];
  }

  forward(x: tf.Tensor, state?: AttentionState, residual?: tf.Tensor): tf.Tensor {
    return tf.tidy(() => {
      const { y, ring } = attentionMixer(x, this.weights(), this.sizes, state, residual);
      if (state && ring) state.replace(ring.k, ring.v, ring.positions);
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
    const format = ringFormatBeside(this.inProj.weight.format, headDim);
    const ring = () => emptyRing(shape, format);
    return new AttentionState(ring(), ring(), Array(batch).fill(0));
  }

  /** A file's keys and values may be f32 or bf16, whichever this layer uses. */
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
    const format = ringFormatBeside(this.inProj.weight.format, headDim);
    const ring = ({ values }: { values: Float32Array }) => {
      const bytes = narrow(values, format === 'bf16' ? 'BF16' : 'F32');
      return ringFromBytes(bytes, [positions.length, capacity, kvHeads, headDim], format);
    };
    return new AttentionState(ring(k), ring(v), positions);
  }

  /** Frees its tensors. */
  dispose(): void {}

  private weights(): AttentionMixerWeights {
    return {
      inProj: this.inProj.weight,
      inProjBias: this.inProj.bias,
      outProj: this.outProj.weight,
      outProjBias: this.outProj.bias,
    };
  }
}

/** Slots of a new ring; it doubles as it fills. */
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
