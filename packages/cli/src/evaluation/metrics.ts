// Accuracies, standard errors and group averages, computed as in lm-evaluation-harness.
import { codePointLength } from './python_text.js';
import type { MetricName, Question } from './task.js';

/** A model's result for one continuation. */
export interface Loglikelihood {
  /** Natural logarithm of the continuation's probability after its context. */
  loglikelihood: number;
  /** Whether greedy decoding would have produced the continuation. */
  isGreedy: boolean;
}

/** np.argmax: the first maximum; NaN counts as the largest value. */
export function argmax(values: readonly number[]): number {
  const nan = values.findIndex(Number.isNaN);
  if (nan >= 0) return nan;
  return values.reduce((best, value, i) => (value > (values[best] ?? value) ? i : best), 0);
}

/**
 * The metrics of one document, 1 or 0 each.
 *
 * acc: the most probable choice is correct. acc_norm: the choice with the highest log-probability per
 * character (code point) is correct.
 */
export function scoreQuestion(
  { choices, gold }: Pick<Question, 'choices' | 'gold'>,
  loglikelihoods: readonly number[],
  metrics: readonly MetricName[],
): Partial<Record<MetricName, number>> {
  const scores: Partial<Record<MetricName, number>> = {};
  for (const metric of metrics) {
    const values =
      metric === 'acc'
        ? loglikelihoods
        : loglikelihoods.map((value, i) => value / codePointLength(choices[i] ?? ''));
    scores[metric] = argmax(values) === gold ? 1 : 0;
  }
  return scores;
}

/** A mean over documents with its standard error; null for a single document. */
export interface Estimate {
  mean: number;
  stderr: number | null;
  /** Number of documents. */
  count: number;
}

export function estimate(values: readonly number[]): Estimate {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  if (count <= 1) return { mean, stderr: null, count };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, stderr: Math.sqrt(squares / (count - 1)) / Math.sqrt(count), count };
}

/**
 * The mean over several tasks, weighted by documents, with the pooled standard error; null if a task has
 * none.
 */
export function pooled(tasks: readonly Estimate[]): Estimate {
  const count = sum(tasks.map((task) => task.count));
  const mean = sum(tasks.map((task) => task.mean * task.count)) / count;
  const variances = tasks.map(({ stderr, count: n }) =>
    stderr === null ? Number.NaN : (n - 1) * stderr ** 2 * n,
  );
  const stderr = Math.sqrt(sum(variances) / (count - tasks.length) / count);
  return { mean, stderr: Number.isNaN(stderr) ? null : stderr, count };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
