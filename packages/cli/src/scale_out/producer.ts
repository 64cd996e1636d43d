// Gives work to workers and collects its results.
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { loadBullMq } from './redis.js';
import { queueName } from './registry.js';
import { slicesOf } from './slices.js';
import { type Outcome, outcomeFromText, type Slice, type WorkItem } from './work.js';

/** Seconds for which a result is kept. */
export const KEPT_RESULTS = 7 * 24 * 3600;

export function resultKey(id: string): string {
  return `rene:result:${id}`;
}

/** Milliseconds between two looks for results. */
const POLL = 200;
const MGET = 500;

/** Work in progress for one model. */
export class Producer {
  private readonly waiting = new Map<string, (outcome: Outcome) => void>();
  private readonly jobs = new Map<string, { items: readonly WorkItem[]; since: number }>();
  private polling: Promise<void> | undefined;
  /** Functions that fail the runs in progress. */
  private readonly runs = new Set<(reason: unknown) => void>();

  private constructor(
    private readonly redis: Redis,
    private readonly queue: Queue<Slice>,
    private readonly signal: AbortSignal,
    private readonly checkAfter: number,
  ) {}

  /**
   * @param signal ends the waiting for results
   * @param checkAfter milliseconds after which lost jobs are looked for
   */
  static async open(
    redis: Redis,
    identity: string,
    signal: AbortSignal,
    checkAfter = 10_000,
  ): Promise<Producer> {
    const { Queue } = await loadBullMq();
    const queue = new Queue<Slice>(queueName(identity), { connection: redis });
    queue.on('error', () => {}); // connect() reports it
    return new Producer(redis, queue, signal, checkAfter);
  }

  /** Has items done, each once. Calls back with each result, in any order. */
  async run(
    items: readonly WorkItem[],
    onOutcome: (item: WorkItem, outcome: Outcome) => void,
  ): Promise<void> {
    this.signal.throwIfAborted();
    const unique = new Map<string, WorkItem[]>();
    for (const item of items) unique.set(item.id, [...(unique.get(item.id) ?? []), item]);
    const known = await this.lookUp([...unique.keys()]);
    const { promise, resolve, reject } = withResolvers();
    let left = unique.size;
    if (left === 0) resolve();
    for (const [id, same] of unique) {
      this.waiting.set(id, (outcome) => {
        this.waiting.delete(id);
        for (const item of same) onOutcome(item, outcome);
        if (--left === 0) resolve();
      });
    }
    const stop = () => reject(this.signal.reason);
    this.signal.addEventListener('abort', stop);
    this.runs.add(reject);
    try {
      for (const [id, outcome] of known) this.waiting.get(id)?.(outcome);
      const missing = [...unique.values()].flatMap(([item]) =>
        item && !known.has(item.id) ? [item] : [],
      );
      await Promise.all(slicesOf(missing).map((slice) => this.add(slice)));
      this.polling ??= this.poll().catch((error: unknown) => {
        for (const fail of this.runs) fail(error);
      });
      await promise;
    } finally {
      this.runs.delete(reject);
      this.signal.removeEventListener('abort', stop);
    }
  }

  async close(): Promise<void> {
    await this.queue.close();
  }

  /** Adding the same slice again changes nothing. */
  private async add(items: readonly WorkItem[]): Promise<void> {
    const ids = items.map(({ id }) => id).join();
    const jobId = createHash('sha256').update(ids).digest('hex').slice(0, 32);
    this.jobs.set(jobId, { items, since: Date.now() });
    await this.queue.add(
      'slice',
      { items },
      {
        jobId,
        attempts: 3,
        backoff: { type: 'exponential', delay: 200 },
        removeOnComplete: true,
        removeOnFail: false,
      },
    );
  }

  private async lookUp(ids: readonly string[]): Promise<Map<string, Outcome>> {
    const found = new Map<string, Outcome>();
    for (let at = 0; at < ids.length; at += MGET) {
      const part = ids.slice(at, at + MGET);
      const texts = await this.redis.mget(part.map(resultKey));
      for (const [i, text] of texts.entries()) {
        const id = part[i];
        if (text !== null && id !== undefined) found.set(id, outcomeFromText(text));
      }
    }
    return found;
  }

  /** Looks for results until there are none to wait for. */
  private async poll(): Promise<void> {
    while (this.waiting.size > 0 && !this.signal.aborted) {
      for (const [id, outcome] of await this.lookUp([...this.waiting.keys()])) {
        this.waiting.get(id)?.(outcome);
      }
      for (const [jobId, { items, since }] of this.jobs) {
        if (!items.some(({ id }) => this.waiting.has(id))) this.jobs.delete(jobId);
        else if (Date.now() - since > this.checkAfter) await this.check(jobId, items);
      }
      await sleep(POLL, undefined, { signal: this.signal }).catch(() => {});
    }
    this.polling = undefined;
  }

  /** A job may be lost with Redis's memory, or have failed in every attempt. */
  private async check(jobId: string, items: readonly WorkItem[]): Promise<void> {
    this.jobs.set(jobId, { items, since: Date.now() });
    const job = await this.queue.getJob(jobId);
    const reason = job?.failedReason;
    const hasFailed = (await job?.isFailed()) ?? false;
    if (job && !hasFailed) return;
    await job?.remove();
    const missing = items.filter(({ id }) => this.waiting.has(id));
    const known = await this.lookUp(missing.map(({ id }) => id));
    for (const { id } of missing) {
      const outcome = known.get(id) ?? (hasFailed ? failure(reason) : undefined);
      if (outcome) this.waiting.get(id)?.(outcome);
    }
    const left = items.filter(({ id }) => this.waiting.has(id));
    if (left.length > 0) await this.add(left);
  }
}

function failure(reason: string | undefined): Outcome {
  return { kind: 'error', message: reason ?? 'the workers failed' };
}

function withResolvers() {
  let resolve: () => void = () => {};
  let reject: (reason: unknown) => void = () => {};
  const promise = new Promise<void>((onDone, onFailure) => {
    resolve = onDone;
    reject = onFailure;
  });
  promise.catch(() => {}); // run() awaits it, after it has added its jobs
  return { promise, resolve, reject };
}
