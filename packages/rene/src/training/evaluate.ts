// Held-out loss in bits per byte: comparable between tokenizers, and with compressors.
import * as tf from '@tensorflow/tfjs-core';
import { type LanguageModel, summedLoss } from './gradients.js';
import { type TokenDocuments, TokenRows } from './token_dataset.js';

/** How well a model predicts documents. */
export interface Evaluation {
  /** Bits that the text takes when coded with the model's probabilities, per UTF-8 byte of it. */
  bitsPerByte: number;
  /** Mean loss of a token, in nats. */
  loss: number;
  tokens: number;
}

/**
 * Evaluates the model on documents. Every token counts once, the eos that ends each document (its
 * newline) too; what a token sees before it starts at the beginning of its row.
 *
 * @param sizes tokens of a row, and rows at a time
 */
export async function evaluate(
  model: LanguageModel,
  documents: TokenDocuments,
  { rowLength, batchSize }: { rowLength: number; batchSize: number },
): Promise<Evaluation> {
  const rows = new TokenRows(documents, rowLength);
  let nats = 0;
  let tokens = 0;
  for (let first = 0; first < rows.count; first += batchSize) {
    const batch = rows.evaluationBatch(first, Math.min(batchSize, rows.count - first));
    const sum = tf.tidy(() => summedLoss(model, batch));
    const [value = Number.NaN] = await sum.data();
    sum.dispose();
    nats += value;
    tokens += batch.counted;
  }
  return { bitsPerByte: nats / Math.LN2 / documents.bytes, loss: nats / tokens, tokens };
}
