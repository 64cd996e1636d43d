// What all mixers have in common, and the state that some of them carry from call to call.
import type * as tf from '@tensorflow/tfjs-core';
import type { MixerParts } from '../step.js';

/**
 * The memory of one layer between calls. It owns its tensors, which outlive any tf.tidy; forward
 * replaces them. Clones share memory until one of them moves on.
 */
export interface LayerState {
  /** The tensors by name, for reading and saving. */
  tensors(): Record<string, tf.Tensor>;
  /** An independent copy. */
  clone(): LayerState;
  /** A new state of these rows of the batch, in this order; a row may come more than once. */
  gather(rows: readonly number[]): LayerState;
  /** Frees its tensors. */
  dispose(): void;
}

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
  /** What it is made of, for a compiled step; undefined where that changes, as in training. */
  parts(): MixerParts | undefined;
  /** Frees what the layer itself made (not its parameters). */
  dispose(): void;
}
