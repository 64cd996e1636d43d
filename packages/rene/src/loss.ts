// The cross entropy loss of a language model.
import { crossEntropy } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import type { CausalLM } from './model.js';

/**
 * Mean cross entropy, in nats, of tokens 1 ... L-1 given those before them, over the padded vocabulary as
 * in the original's training.
 *
 * @param ids int32 (B, L), L >= 2
 * @returns a scalar, differentiable by the model's trainableVariables
 */
export function nextTokenLoss(model: CausalLM, ids: tf.Tensor): tf.Scalar {
  const [batch = 0, length = 0] = ids.shape;
  return tf.tidy(() => {
    const inputs = tf.slice(ids, [0, 0], [batch, length - 1]);
    const targets = tf.slice(ids, [0, 1], [batch, length - 1]);
    const logits = tf.reshape(model.forward(inputs), [-1, model.config.paddedVocabSize]);
    return tf.mean(crossEntropy(logits, tf.reshape(targets, [-1])));
  });
}
