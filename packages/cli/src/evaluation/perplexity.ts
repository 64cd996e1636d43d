// Perplexity of a text per word and byte, and bits per byte.

import { EvaluationError } from './errors.js';
import { type EvaluateOptions, scoreRequests } from './evaluate.js';
import type { EvaluationModel } from './evaluation_model.js';
import type { TokenRequest } from './requests.js';

/** Options: the windows of the text, and progress. */
export interface PerplexityOptions
  extends Pick<EvaluateOptions, 'cache' | 'onProgress' | 'signal'> {
  /**
   * Minimum number of context tokens in each window after the first. Default: 1, as in lm-eval: windows do
   * not overlap. More context is slower and gives lower perplexity.
   */
  context?: number | undefined;
}

/** Results: `loglikelihood` in nats, and perplexities per word and byte. */
export interface Perplexity {
  wordPerplexity: number;
  bytePerplexity: number;
  bitsPerByte: number;
  loglikelihood: number;
  documents: number;
  tokens: number;
  words: number;
  bytes: number;
}

/**
 * Scores each document separately, from its first token (after the prefix token) to its last, in windows of
 * at most model.maxLength tokens. Words are separated by spaces.
 *
 * @throws EvaluationError if there is no text, or no room for the context
 */
export async function perplexity(
  model: EvaluationModel,
  documents: readonly string[],
  { context = 1, ...options }: PerplexityOptions = {},
): Promise<Perplexity> {
  if (!Number.isInteger(context) || context < 1 || context > model.maxLength) {
    throw new EvaluationError(
      `--context: expected a whole number from 1 to the model's length, ${model.maxLength}, found ${context}`,
    );
  }
  const requests: TokenRequest[] = [];
  let tokens = 0;
  for (const text of documents) {
    const ids = await model.tokenize(text);
    tokens += ids.length;
    requests.push(...rollingWindows(ids, model.prefixTokenId, model.maxLength, context));
  }
  if (tokens === 0) throw new EvaluationError('there is no text to measure');
  const scores = await scoreRequests(model, 'perplexity', requests, options);
  const loglikelihood = scores.reduce((sum, score) => sum + score.loglikelihood, 0);
  const encoder = new TextEncoder();
  const words = total(documents, (text) => text.split(/\s+/).length);
  const bytes = total(documents, (text) => encoder.encode(text).byteLength);
  return {
    wordPerplexity: Math.exp(-loglikelihood / words),
    bytePerplexity: Math.exp(-loglikelihood / bytes),
    bitsPerByte: -loglikelihood / bytes / Math.LN2,
    loglikelihood,
    documents: documents.length,
    tokens,
    words,
    bytes,
  };
}

/**
 * Windows that score every token once. The first starts with the prefix token. Each later one is full and
 * has at least `context` tokens of context.
 */
export function rollingWindows(
  ids: readonly number[],
  prefix: number,
  maxLength: number,
  context: number,
): TokenRequest[] {
  const all = [prefix, ...ids];
  const step = maxLength - context + 1;
  const windows: TokenRequest[] = [];
  for (let done = 0; done < ids.length; ) {
    const count = Math.min(done === 0 ? maxLength : step, ids.length - done);
    const end = done + count;
    windows.push({
      contextIds: all.slice(Math.max(0, end - maxLength), done + 1),
      continuationIds: all.slice(done + 1, end + 1),
    });
    done = end;
  }
  return windows;
}

function total(texts: readonly string[], measure: (text: string) => number): number {
  return texts.reduce((sum, text) => sum + measure(text), 0);
}
