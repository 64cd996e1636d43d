// A model whose requests workers score, for evaluations.
import type { Tokenizer } from '@rene-js/rene';
import type { Redis } from 'ioredis';
import { EvaluationError } from '../evaluation/errors.js';
import type { EvaluationModel, ScoreOptions } from '../evaluation/evaluation_model.js';
import type { Loglikelihood } from '../evaluation/metrics.js';
import type { TokenRequest } from '../evaluation/requests.js';
import { requestKey } from '../evaluation/result_cache.js';
import { Producer } from './producer.js';
import type { WorkItem } from './work.js';

export interface QueueModelOptions {
  /** The workers' model, of registry.ts. */
  identity: string;
  maxLength: number;
  prefixTokenId: number;
}

export class QueueModel implements EvaluationModel {
  readonly maxLength: number;
  readonly prefixTokenId: number;

  constructor(
    private readonly redis: Redis,
    private readonly tokenizer: Pick<Tokenizer, 'encode'>,
    private readonly options: QueueModelOptions,
  ) {
    this.maxLength = options.maxLength;
    this.prefixTokenId = options.prefixTokenId;
  }

  tokenize(text: string): number[] {
    return this.tokenizer.encode(text);
  }

  async loglikelihoods(
    requests: readonly TokenRequest[],
    { onResult, onProgress, signal = new AbortController().signal }: ScoreOptions = {},
  ): Promise<Loglikelihood[]> {
    const { identity } = this.options;
    const { maxLength } = this;
    const indices = new Map<WorkItem, number>();
    for (const [i, request] of requests.entries()) {
      const { contextIds, continuationIds } = request;
      const id = `${identity}:${requestKey(request, maxLength)}`;
      const work = { kind: 'score', contextIds, continuationIds, maxLength } as const;
      indices.set({ id, work }, i);
    }
    const results: Loglikelihood[] = [];
    const failures: string[] = [];
    let done = 0;
    const producer = await Producer.open(this.redis, identity, signal);
    try {
      await producer.run([...indices.keys()], (item, outcome) => {
        const i = indices.get(item) ?? -1;
        if (outcome.kind === 'score') {
          results[i] = outcome.score;
          onResult?.(i, outcome.score);
        } else
          failures.push(outcome.kind === 'error' ? outcome.message : 'a result of another kind');
        onProgress?.(++done / requests.length);
      });
    } finally {
      await producer.close();
    }
    const [first] = failures;
    if (first === undefined) return results;
    throw new EvaluationError(`${failures.length} of ${requests.length} requests failed: ${first}`);
  }
}
