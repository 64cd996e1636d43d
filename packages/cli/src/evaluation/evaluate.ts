// Runs tasks: from documents to requests, log-likelihoods and scores.
import type { DocSource } from './data/documents.js';
import { EvaluationError } from './errors.js';
import type { EvaluationModel } from './evaluation_model.js';
import { type Estimate, estimate, type Loglikelihood, pooled, scoreQuestion } from './metrics.js';
import {
  buildExamples,
  type Encoder,
  type Example,
  encodeRequest,
  rememberingEncoder,
  type TokenRequest,
} from './requests.js';
import { type ResultCache, requestKey } from './result_cache.js';
import type { Doc, MetricName, Task } from './task.js';
import type { Group, Selection } from './tasks/index.js';

/** A document with the model's results. */
export interface Sample extends Example {
  /** One per choice. */
  responses: readonly Loglikelihood[];
  scores: Partial<Record<MetricName, number>>;
}

/** A task's samples and metrics. */
export interface TaskResult {
  task: Task;
  numFewshot: number;
  samples: readonly Sample[];
  /** Number of documents before the limit. */
  originalCount: number;
  estimates: Partial<Record<MetricName, Estimate>>;
}

/** Metrics of a group, weighted by the tasks' numbers of documents. */
export interface GroupResult {
  group: Group;
  estimates: Partial<Record<MetricName, Estimate>>;
}

/** All results of a run. */
export interface Evaluation {
  tasks: readonly TaskResult[];
  /** Groups of the selection whose tasks are complete, inner ones first. */
  groups: readonly GroupResult[];
}

/** A task's few-shot examples, as many as the limit allows. */
export interface LoadedTask {
  task: Task;
  numFewshot: number;
  examples: readonly Example[];
  originalCount: number;
}

export interface LoadOptions {
  source: DocSource;
  /** Number of few-shot examples. Default: the task's. */
  numFewshot?: number | undefined;
  /** Seed of the few-shot examples. Default: 1234. */
  fewshotSeed?: number | undefined;
  /** System prompt before each task's description. Default: none. */
  systemInstruction?: string | undefined;
  /** First n documents of each task or, below 1, that share of them. Default: all. */
  limit?: number | undefined;
  /** Document indices by task. Default: all. */
  samples?: ReadonlyMap<string, readonly number[]> | undefined;
}

/** Loads a task's documents and makes its requests. @throws EvaluationError */
export async function loadTask(task: Task, options: LoadOptions): Promise<LoadedTask> {
  const { source, numFewshot = task.numFewshot, limit, samples } = options;
  const { docs, fewshotDocs } = await source.load(task, numFewshot > 0);
  if (docs.length === 0) throw new EvaluationError(`${task.name}: there are no documents`);
  const chosen = samples?.get(task.name);
  const kept = chosen
    ? chosenDocs(task, docs, chosen)
    : docs.slice(0, limitedCount(docs.length, limit));
  const { fewshotSeed, systemInstruction } = options;
  const examples = buildExamples(task, kept, {
    numFewshot,
    fewshotDocs,
    fewshotSeed,
    systemInstruction,
  });
  return { task, numFewshot, examples, originalCount: docs.length };
}

/** In document order, as in lm-eval. */
function chosenDocs(task: Task, docs: readonly Doc[], indices: readonly number[]): Doc[] {
  const wrong = indices.find((index) => !Number.isInteger(index) || !(index in docs));
  if (wrong !== undefined || indices.length === 0) {
    throw new EvaluationError(
      `--samples: ${task.name}: expected indices from 0 to ${docs.length - 1}, found ${wrong ?? 'none'}`,
    );
  }
  const set = new Set(indices);
  return docs.filter((_, i) => set.has(i));
}

function limitedCount(count: number, limit: number | undefined): number {
  if (limit === undefined) return count;
  return limit < 1 ? Math.ceil(count * limit) : Math.floor(limit);
}

/** Scores from log-likelihoods, one list per document. */
export function scoreTask(
  { examples, ...loaded }: LoadedTask,
  responses: readonly (readonly Loglikelihood[])[],
): TaskResult {
  const { metrics } = loaded.task;
  const samples = examples.map((example, i): Sample => {
    const own = responses[i] ?? [];
    const values = own.map(({ loglikelihood }) => loglikelihood);
    return { ...example, responses: own, scores: scoreQuestion(example.question, values, metrics) };
  });
  const estimates: TaskResult['estimates'] = {};
  for (const metric of metrics) {
    estimates[metric] = estimate(samples.map(({ scores }) => scores[metric] ?? 0));
  }
  return { ...loaded, samples, estimates };
}

/** The groups of a selection, averaged over the documents that were run. */
export function scoreGroups(tasks: readonly TaskResult[], groups: readonly Group[]): GroupResult[] {
  const members = new Map(groups.map((group) => [group.name, group.members]));
  const leaves = (name: string): string[] => members.get(name)?.flatMap(leaves) ?? [name];
  return groups.map((group) => {
    const names = new Set(leaves(group.name));
    const found = tasks.filter(({ task }) => names.has(task.name));
    const estimates: GroupResult['estimates'] = {};
    for (const metric of new Set(found.flatMap(({ task }) => task.metrics))) {
      estimates[metric] = pooled(found.flatMap((result) => result.estimates[metric] ?? []));
    }
    return { group, estimates };
  });
}

/** Options to cache, follow and stop an evaluation. */
export interface EvaluateOptions {
  /** Stores every result immediately, and provides those of earlier runs. */
  cache?: ResultCache | undefined;
  /** Called after requests are scored. */
  onProgress?: ((progress: EvaluationProgress) => void) | undefined;
  /** Stops between two forwards; the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Progress of an evaluation. */
export interface EvaluationProgress {
  task: string;
  /** Scored requests of this task, including cached ones. */
  done: number;
  total: number;
  /** Share of the total work, 0 to 1. */
  share: number;
}

/**
 * Evaluates a model on tasks.
 *
 * @throws EvaluationError for missing or invalid documents, before the model runs
 */
export async function evaluate(
  model: EvaluationModel,
  { tasks, groups }: Selection,
  options: EvaluateOptions & LoadOptions,
): Promise<Evaluation> {
  const loaded: LoadedTask[] = [];
  for (const task of tasks) {
    options.signal?.throwIfAborted();
    loaded.push(await loadTask(task, options));
  }
  return evaluateLoaded(model, loaded, groups, options);
}

/** Like evaluate, for loaded tasks. */
export async function evaluateLoaded(
  model: EvaluationModel,
  loaded: readonly LoadedTask[],
  groups: readonly Group[],
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const work = loaded.map(({ examples }) => charactersOf(examples));
  const allWork = work.reduce((sum, characters) => sum + characters, 0);
  let doneWork = 0;
  const results: TaskResult[] = [];
  for (const [i, one] of loaded.entries()) {
    options.signal?.throwIfAborted();
    const requests = await encodeExamples(one.examples, model);
    const own = work[i] ?? 0;
    const before = doneWork;
    const flat = await scoreRequests(model, one.task.name, requests.flat(), {
      ...options,
      onProgress: (progress) =>
        options.onProgress?.({ ...progress, share: (before + own * progress.share) / allWork }),
    });
    doneWork += own;
    const left = flat.values();
    const responses = requests.map((r) => r.flatMap(() => left.next().value ?? []));
    results.push(scoreTask(one, responses));
  }
  return { tasks: results, groups: scoreGroups(results, groups) };
}

/** An estimate of a task's work without a tokenizer. */
function charactersOf(examples: readonly Example[]): number {
  return examples.reduce(
    (sum, { requests }) =>
      requests.reduce((own, { continuation }) => own + continuation.length, sum) +
      (requests[0]?.context.length ?? 0),
    0,
  );
}

/** The token ids of all requests of these documents. */
async function encodeExamples(
  examples: readonly Example[],
  encoder: Encoder,
): Promise<TokenRequest[][]> {
  const remembering = rememberingEncoder(encoder);
  const all: TokenRequest[][] = [];
  for (const { requests } of examples) {
    const encoded: TokenRequest[] = [];
    for (const request of requests) encoded.push(await encodeRequest(request, remembering));
    all.push(encoded);
  }
  return all;
}

/** Runs the model on requests that are not cached. */
export async function scoreRequests(
  model: EvaluationModel,
  task: string,
  requests: readonly TokenRequest[],
  { cache, onProgress, signal }: Pick<EvaluateOptions, 'cache' | 'onProgress' | 'signal'>,
): Promise<Loglikelihood[]> {
  const keys = requests.map((request) => requestKey(request, model.maxLength));
  const results = keys.map((key) => cache?.get(key));
  const missing = requests.flatMap((request, i) => (results[i] ? [] : [{ request, i }]));
  let done = requests.length - missing.length;
  let share = missing.length === 0 ? 1 : 0;
  const report = () => onProgress?.({ task, done, total: requests.length, share });
  report();
  const found = await model.loglikelihoods(
    missing.map(({ request }) => request),
    {
      signal,
      onResult(index, result) {
        const i = missing[index]?.i ?? -1;
        cache?.set(keys[i] ?? '', result);
        done++;
      },
      onProgress(value) {
        share = value;
        report();
      },
    },
  );
  missing.forEach(({ i }, k) => {
    results[i] = found[k];
  });
  share = 1;
  done = requests.length;
  report();
  return results.map((result) => result ?? { loglikelihood: Number.NaN, isGreedy: false });
}
