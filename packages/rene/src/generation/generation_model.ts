// The part of a model that generation needs.
import { type DecodeStep, isPageThread } from '@rene-js/layers/internal';
import type * as tf from '@tensorflow/tfjs-core';
import type { DraftModel } from './draft_model.js';
import type { GenerationDefaults } from './generation_defaults.js';

/** A language model with a recurrent state, as generation sees it. */
export interface GenerationModel extends DraftModel {
  /** The model's own defaults of generation. */
  readonly generationConfig?: GenerationDefaults | undefined;
  /** A compiled decode step for up to `batch` rows; undefined if the backend has none. */
  compileStep?(batch: number, vocabSize: number): DecodeStep | undefined;
}

/** Advances a state by `ids`. @returns logits of the last `logitsToKeep` tokens, one row each */
export async function forwardLogits(
  model: GenerationModel,
  ...call: Parameters<GenerationModel['forward']>
): Promise<Float32Array[]> {
  const logits =
    isPageThread() && model.forwardInTurns
      ? await model.forwardInTurns(...call)
      : model.forward(...call);
  return readLogits(logits);
}

/**
 * Reads logits and disposes them.
 *
 * @param logits (B, L, paddedVocabSize)
 * @returns B * L rows of paddedVocabSize logits
 */
async function readLogits(logits: tf.Tensor): Promise<Float32Array[]> {
  try {
    const size = logits.shape.at(-1) ?? 0;
    const values = await logits.data<'float32'>();
    const rows = values.length / size;
    return Array.from({ length: rows }, (_, i) => values.subarray(i * size, (i + 1) * size));
  } finally {
    logits.dispose();
  }
}
