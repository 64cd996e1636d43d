// Checks the token ids of a forward pass, and selects the hidden states for the head.
import { InvalidArgumentError } from '@rene-js/layers/errors';
import * as tf from '@tensorflow/tfjs-core';
import type { ModelConfig } from './architectures/model_config.js';
import { describe } from './describe.js';

/** (B, L): an int32 tensor, or rows of equal length. */
export type TokenIds = tf.Tensor | readonly (readonly number[])[];

/**
 * Batch size and length of the ids.
 *
 * @throws InvalidArgumentError for ids out of range or rows of different lengths; the values of a tensor
 *   are not checked
 */
export function checkIds(ids: TokenIds, config: ModelConfig): [batch: number, length: number] {
  if (ids instanceof tf.Tensor) {
    const [batch = 0, length = 0] = ids.shape;
    if (ids.rank !== 2 || ids.size === 0 || ids.dtype !== 'int32') {
      const found = `${ids.dtype} [${ids.shape.join(', ')}]`;
      throw new InvalidArgumentError('ids', 'int32 of shape [batch, length >= 1]', found);
    }
    return [batch, length];
  }
  const { vocabSize, paddedVocabSize } = config;
  if (!Array.isArray(ids)) throw notRows(ids);
  const rows: readonly unknown[] = ids;
  let length: number | undefined;
  for (const row of rows) {
    if (!Array.isArray(row)) throw notRows(ids);
    const entries: readonly unknown[] = row;
    length ??= entries.length;
    if (entries.length !== length) {
      throw new InvalidArgumentError('ids', `rows of ${length} tokens`, `one of ${entries.length}`);
    }
    const wrong = entries.findIndex((id) => !isIdBelow(id, paddedVocabSize));
    if (wrong >= 0) {
      throw wrongId('ids', entries[wrong], vocabSize);
    }
  }
  if (!length) throw new InvalidArgumentError('ids', 'at least one token', 'an empty prompt');
  return [rows.length, length];
}

/** The error for an id outside the vocabulary. */
export function wrongId(name: string, id: unknown, vocabSize: number): InvalidArgumentError {
  const isLarge = typeof id === 'number' && Number.isInteger(id) && id >= vocabSize;
  const hint = isLarge ? "; is the tokenizer the model's own?" : '';
  return new InvalidArgumentError(name, `token ids below ${vocabSize}`, describe(id) + hint);
}

function isIdBelow(id: unknown, size: number): boolean {
  return typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < size;
}

function notRows(ids: unknown): InvalidArgumentError {
  const isOneRow = Array.isArray(ids) && typeof ids[0] === 'number';
  const advice = isOneRow
    ? '; put the one row into a list: [ids]'
    : typeof ids === 'string'
      ? '; encode a text with tokenizer.encode(text)'
      : '';
  const expected = 'an int32 tensor [batch, length], or rows of token ids such as [[1, 2, 3]]';
  return new InvalidArgumentError('ids', expected, `${describe(ids)}${advice}`);
}

/** @throws InvalidArgumentError for positions out of range */
export function checkPlaces(places: readonly number[] | undefined, count: number): void {
  const wrong = places?.find((place) => !Number.isInteger(place) || place < 0 || place >= count);
  if (wrong === undefined) return;
  throw new InvalidArgumentError('logitsAt', `positions below ${count}`, String(wrong));
}

/** The last `kept` tokens of (B, L, D). */
export function lastTokens(hidden: tf.Tensor, kept: number): tf.Tensor {
  const [batch = 0, length = 0, dModel = 0] = hidden.shape;
  return kept === length ? hidden : tf.slice(hidden, [0, length - kept, 0], [batch, kept, dModel]);
}

/** Tokens of (B, L, D) at positions in the flattened (B L, D), as (positions, 1, D). */
export function tokensAt(hidden: tf.Tensor, places: readonly number[]): tf.Tensor {
  const [batch = 0, length = 0, dModel = 0] = hidden.shape;
  const flat = tf.reshape(hidden, [batch * length, 1, dModel]);
  return tf.gather(flat, tf.tensor1d([...places], 'int32'));
}
