// ResidualBlock: a mixer between a norm and a residual addition.
import * as tf from '@tensorflow/tfjs-core';
import type { LayerState, Mixer } from './layer.js';

/** A norm over the last axis: RMSNorm or LayerNorm. */
export interface Norm {
  /** x (B, L, dModel), normalised over the last axis. */
  forward(x: tf.Tensor): tf.Tensor;
}

/** residual + mixer(norm(x)): a block of the model. */
export class ResidualBlock<State extends LayerState = LayerState> {
  constructor(
    readonly norm: Norm,
    readonly mixer: Mixer<State>,
    /** Reads the input of the block before it and adds to that block's output. Both have one norm. */
    readonly isParallel = false,
    /** The residual stream is multiplied by this number before the block reads it. Default: 1. */
    readonly streamFactor = 1,
  ) {}

  /**
   * The block's output, (B, L, dModel).
   *
   * @param x (B, L, dModel)
   * @param state advanced
   * @param residual (B, L, dModel), what the mixer's output is added to. Default: x.
   */
  forward(x: tf.Tensor, state?: State, residual = x): tf.Tensor {
    return tf.tidy(() => this.mixer.forward(this.norm.forward(x), state, residual));
  }
}
