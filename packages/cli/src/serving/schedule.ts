// Decides which sequences hold the batch's slots and whose prompt is prefilled next.
//
// Clients get equal shares of three quarters of the slots, in order of arrival within a client, so that no
// request starves. One quarter goes to the sequences with the fewest remaining tokens, so that short
// requests do not wait for long ones. Prefill alternates between the job with the fewest remaining tokens
// and the least recently served client.

/** A sequence or a job, as the scheduler sees it. */
export interface Schedulable {
  readonly client: string;
  /** Number of tokens to prefill and generate. */
  readonly remaining: number;
}

/** Maximum number of clients whose last turn is remembered. */
const MAX_CLIENTS = 4096;

/** Number of decode steps after which a batch with one slot switches between both orders. */
const TURN = 16;

export class Schedule {
  /** Clients by their last prefill, least recent first. */
  private readonly served = new Set<string>();
  private parts = 0;
  private steps = 0;

  /** Call it after each decode step. */
  step(): void {
    this.steps++;
  }

  /**
   * @param sequences in order of arrival
   * @returns the sequences that should hold the slots
   */
  seats<T extends Schedulable>(sequences: readonly T[], slots: number): readonly T[] {
    if (sequences.length <= slots) return sequences;
    const quick = byClients(byRemaining(sequences), new Set()).slice(0, this.quickSlots(slots));
    const chosen = new Set(quick);
    const shared = byClients(sequences, chosen).filter((sequence) => !chosen.has(sequence));
    return [...quick, ...shared.slice(0, slots - quick.length)];
  }

  /** @param jobs with unfinished prompts, in order of arrival */
  nextPrompt<T extends Schedulable>(jobs: readonly T[]): T | undefined {
    const isQuick = this.parts++ % 2 === 0;
    const job = isQuick ? byRemaining(jobs)[0] : this.leastServed(jobs);
    if (!job) return undefined;
    this.served.delete(job.client);
    this.served.add(job.client);
    const [oldest] = this.served;
    if (this.served.size > MAX_CLIENTS && oldest !== undefined) this.served.delete(oldest);
    return job;
  }

  private quickSlots(slots: number): number {
    if (slots > 1) return Math.max(1, Math.floor(slots / 4));
    return Math.floor(this.steps / TURN) % 2;
  }

  /** The first job of the least recently served client. */
  private leastServed<T extends Schedulable>(jobs: readonly T[]): T | undefined {
    const first = new Map<string, T>();
    for (const job of jobs) if (!first.has(job.client)) first.set(job.client, job);
    for (const [client, job] of first) if (!this.served.has(client)) return job;
    for (const client of this.served) {
      const job = first.get(client);
      if (job) return job;
    }
    return undefined;
  }
}

/** Fewest remaining tokens first; then in order of arrival. */
function byRemaining<T extends Schedulable>(items: readonly T[]): readonly T[] {
  return items.toSorted((a, b) => a.remaining - b.remaining);
}

/**
 * The first sequence of each client, then the second of each, and so on.
 *
 * @param counted sequences that count first within their client
 */
function byClients<T extends Schedulable>(
  items: readonly T[],
  counted: ReadonlySet<T>,
): readonly T[] {
  const counts = new Map<string, number>();
  for (const { client } of counted) counts.set(client, (counts.get(client) ?? 0) + 1);
  const rounds = items.map((item) => {
    if (counted.has(item)) return { item, round: -1 };
    const round = counts.get(item.client) ?? 0;
    counts.set(item.client, round + 1);
    return { item, round };
  });
  return rounds.sort((a, b) => a.round - b.round).map(({ item }) => item);
}
