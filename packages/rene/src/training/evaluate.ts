// Held-out loss in bits per byte, which is comparable between tokenizers and with compressors.
import * as tf from '@tensorflow/tfjs-core';
import { type LanguageModel, summedLoss } from './gradients.js';
import { type TokenDocuments, TokenRows } from './token_dataset.js';

/** Results of an evaluation. */
export interface Evaluation {
  /** Bits per UTF-8 byte of the text under the model. */
  bitsPerByte: number;
  /** Mean loss per token, in nats. */
  loss: number;
  tokens: number;
}

/**
 * Evaluates the model on documents. Every token counts once, including the end of text of each document
 * (its newline). A token's context starts at the beginning of its row.
 *
 * @param sizes length and number of rows of a batch
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
