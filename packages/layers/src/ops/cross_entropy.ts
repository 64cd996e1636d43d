// crossEntropy: the loss of a language model, one value per token.
import type * as tf from '@tensorflow/tfjs-core';
import { runKernel1 } from '../registry.js';
import { ShapeChecker } from './checks.js';

/**
 * loss = logsumexp(logits) - logits[target], in nats.
 *
 * @param logits (T, V)
 * @param targets (T) int32 below V; a negative target is ignored: its loss and gradient are 0
 * @returns (T)
 */
export function crossEntropy(logits: tf.Tensor, targets: tf.Tensor): tf.Tensor {
  const shapes = new ShapeChecker('crossEntropy');
  shapes.check('logits', logits, ['T', 'V']);
  shapes.check('targets', targets, ['T'], 'int32');
  return runKernel1('CrossEntropy', { logits, targets }, {});
}
