// Loss and gradients of a batch, summed over micro-batches.
import { crossEntropy } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import type { CausalLM, ForwardOptions } from '../model.js';
import type { TokenBatch } from './token_dataset.js';

/** What the loss needs of a model. */
export type LanguageModel = Pick<CausalLM, 'config' | 'forward'>;

/** Loss and gradients of a batch. The caller disposes them. */
export interface LossAndGradients {
  /** Mean over the counted targets, in nats. */
  loss: number;
  /** L2 norm of all gradients together. */
  norm: number;
  /** By parameter name. The caller disposes them. */
  gradients: Map<string, tf.Tensor>;
}

/**
 * Loss and gradients over all batches together.
 *
 * @param recompute gradient checkpointing; see ForwardOptions
 */
export async function lossAndGradients(
  model: LanguageModel,
  variables: ReadonlyMap<string, tf.Variable>,
  batches: readonly TokenBatch[],
  { recompute = false }: { recompute?: boolean } = {},
): Promise<LossAndGradients> {
  const counted = batches.reduce((sum, batch) => sum + batch.counted, 0);
  const list = [...variables.values()];
  const options = recompute ? { recompute: variables } : {};
  let sum: { loss: tf.Tensor; gradients: tf.Tensor[] } | undefined;
  for (const batch of batches) {
    const before = sum;
    sum = tf.tidy(() => {
      const { value, grads } = tf.variableGrads(
        () => tf.div<tf.Scalar>(summedLoss(model, batch, options), counted),
        list,
      );
      const gradients = list.map((variable) => grads[variable.name] ?? tf.zeros(variable.shape));
      if (!before) return { loss: value, gradients };
      return {
        loss: tf.add(before.loss, value),
        gradients: gradients.map((gradient, i) => tf.add(gradient, before.gradients[i] ?? 0)),
      };
    });
    if (before) tf.dispose([before.loss, ...before.gradients]);
  }
  if (!sum) throw new Error('no batch');
  const { loss, gradients } = sum;
  const norm = tf.tidy(() => tf.sqrt(tf.addN(gradients.map((g) => tf.sum(tf.square(g))))));
  const [[lossValue = Number.NaN], [normValue = Number.NaN]] = await Promise.all([
    loss.data(),
    norm.data(),
  ]);
  tf.dispose([loss, norm]);
  const names = [...variables.keys()];
  return {
    loss: lossValue,
    norm: normValue,
    gradients: new Map(gradients.map((gradient, i) => [names[i] ?? '', gradient])),
  };
}

/** The summed loss of a batch's counted targets: a scalar, in nats. */
export function summedLoss(
  model: LanguageModel,
  batch: TokenBatch,
  options: ForwardOptions = {},
): tf.Scalar {
  const { rows, length, inputs, targets } = batch;
  const ids = tf.tensor2d(inputs, [rows, length], 'int32');
  const logits = model.forward(ids, options);
  const flat = tf.reshape(logits, [rows * length, model.config.paddedVocabSize]);
  return tf.sum<tf.Scalar>(crossEntropy(flat, tf.tensor1d(targets, 'int32')));
}
