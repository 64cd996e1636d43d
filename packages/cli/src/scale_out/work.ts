// What producers and workers exchange through Redis.
import type { BatchRequest } from '../batch/batch_line.js';
import type { BatchResponse } from '../batch/result_file.js';
import type { Loglikelihood } from '../evaluation/metrics.js';

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

/** JSON with the numbers that JSON does not have. */
export function outcomeToText(outcome: Outcome): string {
  if (outcome.kind !== 'score') return JSON.stringify(outcome);
  const { loglikelihood, isGreedy } = outcome.score;
  return JSON.stringify({ kind: 'score', loglikelihood: String(loglikelihood), isGreedy });
}

export function outcomeFromText(text: string): Outcome {
  const value = JSON.parse(text);
  if (value.kind !== 'score') return value;
  const { loglikelihood, isGreedy } = value;
  return { kind: 'score', score: { loglikelihood: Number(loglikelihood), isGreedy } };
}
