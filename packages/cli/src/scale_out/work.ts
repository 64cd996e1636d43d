// What producers and workers exchange through Redis.
import { asRecord, parseJson } from '@rene-js/rene/internal';
import type { BatchRequest } from '../batch/batch_line.js';
import type { BatchResponse } from '../batch/result_file.js';
import type { Loglikelihood } from '../evaluation/metrics.js';
import { QueueError } from './redis.js';

/** A request of the server, or a continuation to score. */
export type Work =
  | { kind: 'request'; request: BatchRequest }
  | {
      kind: 'score';
      contextIds: readonly number[];
      continuationIds: readonly number[];
      maxLength: number;
    };

/** A unit of work: it has one result. */
export interface WorkItem {
  /** The same for the same work with the same model. */
  id: string;
  work: Work;
}

/** The data of a job: items with a common prefix, which one worker does together. */
export interface Slice {
  items: readonly WorkItem[];
}

export type Outcome =
  | { kind: 'response'; response: BatchResponse }
  | { kind: 'score'; score: Loglikelihood }
  /** Several workers ended, or failed, while they did this item alone. */
  | { kind: 'error'; message: string };

/** As JSON. A log-likelihood is a text, since JSON has no Infinity and no NaN. */
export function outcomeToText(outcome: Outcome): string {
  if (outcome.kind !== 'score') return JSON.stringify(outcome);
  const { loglikelihood, isGreedy } = outcome.score;
  return JSON.stringify({ kind: 'score', loglikelihood: String(loglikelihood), isGreedy });
}

export function outcomeFromText(text: string): Outcome {
  const { kind, message, response, loglikelihood, isGreedy } = asRecord(parseJson(text)) ?? {};
  if (kind === 'score' && typeof loglikelihood === 'string' && typeof isGreedy === 'boolean') {
    return { kind, score: { loglikelihood: Number(loglikelihood), isGreedy } };
  }
  const { status_code, request_id, body } = asRecord(response) ?? {};
  if (kind === 'response' && typeof status_code === 'number' && typeof request_id === 'string') {
    return { kind, response: { status_code, request_id, body } };
  }
  if (kind === 'error' && typeof message === 'string') return { kind, message };
  throw new QueueError('Redis has a result that no worker of this version wrote');
}
