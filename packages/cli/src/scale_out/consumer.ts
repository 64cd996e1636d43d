// Takes slices from the queue, does their items, and stores the results: the first one of an item stays.
import type { Job, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { KEPT_RESULTS, resultKey } from './producer.js';
import { loadBullMq } from './redis.js';
import { queueName } from './registry.js';
import { type Outcome, outcomeToText, type Slice, type WorkItem } from './work.js';

/** Does items together. Each call has items of one kind. Rejects, or leaves items out, on failure. */
export type DoWork = (
  items: readonly WorkItem[],
  onOutcome: (item: WorkItem, outcome: Outcome) => Promise<void>,
) => Promise<void>;

export interface ConsumerOptions {
  /**
   * Seconds after which a worker that does not answer loses its slice to another one. More than the longest
   * forward of the model.
   */
  lockSeconds: number;
  onNotice(notice: string): void;
}

/** How often an item that is alone may end its worker. */
const MAX_TRIES = 3;

function triesKey(id: string): string {
  return `rene:tries:${id}`;
}

/** Takes slices until close(), which waits for the one in progress. */
export async function startConsumer(
  redis: Redis,
  identity: string,
  doWork: DoWork,
  { lockSeconds, onNotice }: ConsumerOptions,
): Promise<Worker<Slice>> {
  const { Worker } = await loadBullMq();
  const lockDuration = lockSeconds * 1000;
  const worker = new Worker<Slice>(
    queueName(identity),
    (job) => new SliceRun(redis, doWork, job).run(),
    {
      connection: redis,
      concurrency: 1,
      lockDuration,
      stalledInterval: lockDuration / 2,
      // SliceRun counts how often an item ends its worker.
      maxStalledCount: 100,
    },
  );
  worker.on('error', ({ message }) => {
    // connect() reports connections. A lock is lost if this process was frozen.
    if (/lock/i.test(message)) onNotice(`another worker took over a slice: ${message}`);
  });
  worker.on('failed', (job, { message }) => {
    onNotice(`slice ${job?.id}: attempt ${job?.attemptsMade}: ${message}`);
  });
  return worker;
}

/** One attempt at a slice. */
class SliceRun {
  constructor(
    private readonly redis: Redis,
    private readonly doWork: DoWork,
    private readonly job: Job<Slice>,
  ) {}

  async run(): Promise<void> {
    const { job } = this;
    const missing = await this.missing(job.data.items);
    if (missing.length === 0) return;
    const isAgain = job.attemptsMade > 0 || job.stalledCounter > 0;
    if (!isAgain) await this.together(missing);
    else for (const item of missing) await this.alone(item);
  }

  private async together(items: readonly WorkItem[]): Promise<void> {
    await this.doWork(items, (item, outcome) => {
      // A later attempt does it again, alone.
      return isServerError(outcome) ? Promise.resolve() : this.store(item, outcome);
    });
    const left = await this.missing(items);
    if (left.length > 0) throw new Error(`${left.length} of ${items.length} items failed`);
  }

  /** An item that fails, or ends its worker, does not keep the others from their results. */
  private async alone(item: WorkItem): Promise<void> {
    const key = triesKey(item.id);
    const tries = await this.redis.incr(key);
    await this.redis.expire(key, KEPT_RESULTS);
    if (tries > MAX_TRIES) {
      const message = `${MAX_TRIES} workers ended, or lost their lock, while they did this alone`;
      await this.store(item, { kind: 'error', message });
      return;
    }
    try {
      await this.doWork([item], (_, outcome) => this.store(item, outcome));
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      await this.store(item, { kind: 'error', message });
    }
    await this.redis.del(key);
  }

  private async missing(items: readonly WorkItem[]): Promise<WorkItem[]> {
    const known = await this.redis.mget(items.map(({ id }) => resultKey(id)));
    return items.filter((_, i) => known[i] === null);
  }

  /** The first result stays: a frozen worker may come back with a second one. */
  private async store({ id }: WorkItem, outcome: Outcome): Promise<void> {
    await this.redis.set(resultKey(id), outcomeToText(outcome), 'EX', KEPT_RESULTS, 'NX');
  }
}

function isServerError(outcome: Outcome): boolean {
  return outcome.kind === 'response' && outcome.response.status_code >= 500;
}
