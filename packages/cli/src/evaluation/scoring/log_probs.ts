// Computes log-probabilities of tokens from logits on the backend.
import * as tf from '@tensorflow/tfjs-core';

/** A token to score in a row of logits. */
export interface Wanted {
  row: number;
  id: number;
}

export interface LogProb {
  logProb: number;
  /** Whether no other token is more probable. */
  isGreedy: boolean;
}

/**
 * The softmax covers the padded vocabulary, as in the original, which trains the padding to be improbable.
 *
 * @param logits (rows, 1, paddedVocabSize); disposed
 */
export async function logProbsOf(
  logits: tf.Tensor3D,
  wanted: readonly Wanted[],
): Promise<LogProb[]> {
  const [count, , vocab] = logits.shape;
  if (wanted.length === 0) {
    logits.dispose();
    return [];
  }
  const [values, best, sums] = tf.tidy(() => {
    const places = wanted.map(({ row, id }) => row * vocab + id);
    const chosen = tf.gather(tf.reshape(logits, [-1]), tf.tensor1d(places, 'int32'));
    const rows = tf.reshape(logits, [count, vocab]);
    const max = tf.max(rows, 1, true);
    // At most two more tensors of the logits' size are in memory.
    return [chosen, max, tf.tidy(() => tf.sum(tf.exp(tf.sub(rows, max)), 1))];
  });
  logits.dispose();
  const [v, m, s] = await Promise.all([values.data(), best.data(), sums.data()]);
  for (const tensor of [values, best, sums]) tensor.dispose();
  return wanted.map(({ row }, i) => {
    const [value = Number.NaN, max = Number.NaN, sum = Number.NaN] = [v[i], m[row], s[row]];
    return { logProb: value - max - Math.log(sum), isGreedy: value === max };
  });
}
