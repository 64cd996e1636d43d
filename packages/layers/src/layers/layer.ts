// The interfaces of mixers and of their states.
import type * as tf from '@tensorflow/tfjs-core';
import type { MixerParts } from '../mixer_parts.js';

/**
 * The state of one layer between calls. It owns its tensors; forward replaces them. Clones share memory
 * until one of them advances.
 */
export interface LayerState {
  /** Its kind and shapes without the batch. States with equal forms fit the same layer. */
  readonly form: string;
  /** An independent copy. */
  clone(): LayerState;
  /** A new state with these rows, in this order. A row may occur several times. */
  gather(rows: readonly number[]): LayerState;
  /**
   * A new state with its rows, followed by those of others with the same form. @throws InvalidArgumentError
   */
  concat(others: readonly LayerState[]): LayerState;
  /**
   * Marks the present position, which must be the same for all rows. After one more forward pass `rewind` can return
   * to any token since then. Meanwhile memory is held for both states.
   *
   * @returns the maximum number of tokens of that forward pass
   */
  mark(): number;
  /** Returns to `tokens` tokens after the mark, bitwise as if it had seen no others, and removes the mark. */
  rewind(tokens: number): void;
  /** Its tensors for a file. `restoreState` of the layer reads them. */
  save(): StoredTensor[];
  /** Frees its tensors. */
  dispose(): void;
}

/** A tensor of a state in a file. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: 'F32' | 'BF16';
  readonly shape: readonly number[];
  /** Little-endian, row-major; a copy of the tensor's values. */
  bytes(): Promise<Uint8Array>;
}

/** A stored tensor, row-major. */
export interface StoredValues {
  readonly values: Float32Array;
  /** Its little-endian bytes, if it is stored as bf16. */
  readonly bf16?: Uint8Array | undefined;
  readonly shape: number[];
}

/** Reads a stored tensor. @throws Error if there is none of that name */
export type ReadTensor = (name: string) => Promise<StoredValues>;

/** A layer between a norm and a residual addition: (B, L, dModel) to (B, L, dModel). */
export interface Mixer<State extends LayerState = LayerState> {
  /**
   * Processes one or more tokens: a prompt, a chunk of one, or a single token.
   *
   * @param state advanced in place. Default: none; x is the whole text, as in training
   * @param residual (B, L, dModel), added to the output
   */
  forward(x: tf.Tensor, state?: State, residual?: tf.Tensor): tf.Tensor;
  /** The state before the first token; null for a mixer without state. */
  initialState(batch: number): State | null;
  /**
   * Restores a state that `LayerState.save` stored, in the dtype that this layer uses.
   *
   * @param positions tokens seen by each row
   * @throws InvalidArgumentError naming the tensor that does not fit
   */
  restoreState(read: ReadTensor, positions: readonly number[]): Promise<State | null>;
  /** Its weights and sizes for a compiled step; undefined if they may change, as in training. */
  parts(): MixerParts | undefined;
  /** Frees what the layer itself allocated (not its parameters). */
  dispose(): void;
}
