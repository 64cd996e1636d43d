// What all mixers have in common, and the state that some of them carry from call to call.
import type * as tf from '@tensorflow/tfjs-core';
import type { MixerParts } from '../mixer_parts.js';

/**
 * The memory of one layer between calls. It owns its tensors, which outlive any tf.tidy; forward
 * replaces them. Clones share memory until one of them moves on.
 */
export interface LayerState {
  /** Its kind and sizes without the batch. States of one form fit the same layer. */
  readonly form: string;
  /** An independent copy. */
  clone(): LayerState;
  /** A new state of these rows of the batch, in this order; a row may come more than once. */
  gather(rows: readonly number[]): LayerState;
  /** A new state of its rows and then the rows of others of its form. @throws InvalidArgumentError */
  concat(others: readonly LayerState[]): LayerState;
  /** What a file keeps of it. `restoreState` of its layer reads that again. */
  save(): StoredTensor[];
  /** Frees its tensors. */
  dispose(): void;
}

/** A tensor of a state as a file keeps it. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: 'F32' | 'BF16';
  readonly shape: readonly number[];
  /** Little-endian, row-major. */
  bytes(): Promise<Uint8Array>;
}

/** Reads a stored tensor, widened to f32. @throws Error if there is none of that name */
export type ReadTensor = (name: string) => Promise<{ values: Float32Array; shape: number[] }>;

/** A layer between a norm and a residual addition: (B, L, dModel) to (B, L, dModel). */
export interface Mixer<State extends LayerState = LayerState> {
  /**
   * Any length of at least 1: a prompt, one more part of it, or a token.
   *
   * @param state advanced in place; without one x starts and ends the text (the training form)
   * @param residual (B, L, dModel), added to the output
   */
  forward(x: tf.Tensor, state?: State, residual?: tf.Tensor): tf.Tensor;
  /** The state before the first token; null for a mixer without memory. */
  initialState(batch: number): State | null;
  /**
   * The state that `LayerState.save` stored, in the format this layer uses.
   *
   * @param positions tokens seen by each row
   * @throws InvalidArgumentError naming the tensor that does not fit
   */
  restoreState(read: ReadTensor, positions: readonly number[]): Promise<State | null>;
  /** What it is made of, for a compiled step; undefined where that changes, as in training. */
  parts(): MixerParts | undefined;
  /** Frees what the layer itself made (not its parameters). */
  dispose(): void;
}
