// The log-probabilities of wanted tokens, from logits, on the backend.
import * as tf from '@tensorflow/tfjs-core';

/** A token wanted after a place of a row. */
export interface Wanted {
  row: number;
  /** Place within the kept positions. */
  position: number;
  id: number;
}

export interface LogProb {
  logProb: number;
  /** Whether no other token is likelier. */
  isGreedy: boolean;
}

/**
 * The softmax is over the whole padded vocabulary, as in the original, whose rows beyond the
 * vocabulary are trained to be unlikely.
 *
 * @param logits (B, kept, paddedVocabSize); freed
 */
export async function logProbsOf(
  logits: tf.Tensor3D,
  wanted: readonly Wanted[],
): Promise<LogProb[]> {
  const [batch, kept, vocab] = logits.shape;
  const [values, norms, best] = tf.tidy(() => {
    const flat: tf.Tensor2D = tf.reshape(logits, [batch * kept, vocab]);
    const places = wanted.map(({ row, position, id }) => [row * kept + position, id]);
    const index = tf.tensor2d(places, [wanted.length, 2], 'int32');
    return [tf.gatherND(flat, index), logSumExp(flat), tf.argMax(flat, 1)];
  });
  logits.dispose();
  const [v, n, b] = await Promise.all([values.data(), norms.data(), best.data()]);
  for (const tensor of [values, norms, best]) tensor.dispose();
  return wanted.map(({ row, position, id }, i) => {
    const place = row * kept + position;
    return { logProb: (v[i] ?? Number.NaN) - (n[place] ?? Number.NaN), isGreedy: b[place] === id };
  });
}

/** tf.logSumExp keeps several tensors of the logits' size; this one at most one. */
function logSumExp(logits: tf.Tensor2D): tf.Tensor1D {
  return tf.tidy(() => {
    const max = tf.max(logits, 1, true);
    const sum: tf.Tensor1D = tf.tidy(() => tf.sum(tf.exp(tf.sub(logits, max)), 1));
    return tf.add(tf.log(sum), tf.squeeze(max, [1]));
  });
}
