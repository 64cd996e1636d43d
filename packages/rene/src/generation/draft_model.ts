// The part of a model that drafts need; GenerationModel has it.
import { InvalidArgumentError } from '@rene-js/layers';
import type * as tf from '@tensorflow/tfjs-core';
import type { ModelConfig } from '../architectures/model_config.js';
import { describe } from '../describe.js';
import type { RecurrentState } from '../state.js';

/** A language model with a recurrent state. */
export interface DraftModel {
  readonly config: ModelConfig;
  /**
   * Advances the state by `ids` (rows of equal length).
   *
   * @returns logits float32 (B, logitsToKeep, paddedVocabSize) of the last `logitsToKeep` tokens
   */
  forward(
    ids: readonly (readonly number[])[],
    options: { state: RecurrentState; logitsToKeep: number },
  ): tf.Tensor;
  /** As forward, for a page's own thread, which draws its frames between two layers. */
  forwardInTurns?(
    ids: readonly (readonly number[])[],
    options: { state: RecurrentState; logitsToKeep: number },
  ): Promise<tf.Tensor>;
  /** The model's weights. Their number is used to estimate the time of a token. */
  readonly parameters?: ReadonlyMap<string, { readonly shape: readonly number[] }> | undefined;
  /** The state before the first token. */
  initialState(batch: number): RecurrentState;
}

/** @throws InvalidArgumentError unless it is a model with the same vocabulary */
export function checkAssistant(
  assistant: DraftModel | undefined,
  { vocabSize }: Pick<ModelConfig, 'vocabSize'>,
): void {
  if (assistant === undefined) return;
  const size: unknown = assistant.config?.vocabSize;
  if (typeof assistant.forward === 'function' && size === vocabSize) return;
  const found = typeof size === 'number' ? `one with ${size} tokens` : describe(assistant);
  const expected = `a model with this model's vocabulary of ${vocabSize} tokens`;
  throw new InvalidArgumentError('assistantModel', expected, found);
}
