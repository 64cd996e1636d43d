// ResidualBlock: x + mixer(norm(x)).
import * as tf from '@tensorflow/tfjs-core';
import type { LayerState, Mixer } from './layer.js';

/** A norm over the last axis: RMSNorm or LayerNorm. */
export interface Norm {
  /** x (B, L, dModel), normalised over the last axis. */
  forward(x: tf.Tensor): tf.Tensor;
}

/** x + mixer(norm(x)): a block of the model. */
export class ResidualBlock<State extends LayerState = LayerState> {
  constructor(
    readonly norm: Norm,
    readonly mixer: Mixer<State>,
  ) {}

  /** x (B, L, dModel) to the same shape; a state is advanced. */
  forward(x: tf.Tensor, state?: State): tf.Tensor {
    return tf.tidy(() => this.mixer.forward(this.norm.forward(x), state, x));
  }
}
