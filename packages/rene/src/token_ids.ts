// What goes into a forward pass, checked, and which tokens' hidden states go on to the head.
import { InvalidArgumentError } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import type { ReneConfig } from './config.js';

/** (B, L): an int32 tensor, or rows of one length. */
export type TokenIds = tf.Tensor | readonly (readonly number[])[];

/**
 * The batch size and length of the ids.
 *
 * @throws InvalidArgumentError for ids out of range or rows that differ in length; a tensor's values are
 *   not looked at
 */
export function checkIds(ids: TokenIds, config: ReneConfig): [batch: number, length: number] {
  if (ids instanceof tf.Tensor) {
    const [batch = 0, length = 0] = ids.shape;
    if (ids.rank !== 2 || ids.size === 0 || ids.dtype !== 'int32') {
      const found = `${ids.dtype} [${ids.shape.join(', ')}]`;
      throw new InvalidArgumentError('ids', 'int32 of shape [batch, length >= 1]', found);
    }
    return [batch, length];
  }
  const { vocabSize, paddedVocabSize } = config;
  const length = ids[0]?.length ?? 0;
  if (length === 0) throw new InvalidArgumentError('ids', 'at least one token', 'an empty prompt');
  for (const row of ids) {
    if (row.length !== length) {
      throw new InvalidArgumentError('ids', `rows of ${length} tokens`, `one of ${row.length}`);
    }
    const wrong = row.find((id) => !Number.isInteger(id) || id < 0 || id >= paddedVocabSize);
    if (wrong !== undefined) {
      throw new InvalidArgumentError('ids', `token ids below ${vocabSize}`, String(wrong));
    }
  }
  return [ids.length, length];
}

/** @throws InvalidArgumentError for places that are not among `count` tokens */
export function checkPlaces(places: readonly number[] | undefined, count: number): void {
  const wrong = places?.find((place) => !Number.isInteger(place) || place < 0 || place >= count);
  if (wrong === undefined) return;
  throw new InvalidArgumentError('logitsAt', `places of ${count} tokens`, String(wrong));
}

/** The last `kept` tokens of (B, L, D). */
export function lastTokens(hidden: tf.Tensor, kept: number): tf.Tensor {
  const [batch = 0, length = 0, dModel = 0] = hidden.shape;
  return kept === length ? hidden : tf.slice(hidden, [0, length - kept, 0], [batch, kept, dModel]);
}

/** Tokens of (B, L, D) by their places in the flattened (B L, D), as (places, 1, D). */
export function tokensAt(hidden: tf.Tensor, places: readonly number[]): tf.Tensor {
  const [batch = 0, length = 0, dModel = 0] = hidden.shape;
  const flat = tf.reshape(hidden, [batch * length, 1, dModel]);
  return tf.gather(flat, tf.tensor1d([...places], 'int32'));
}
