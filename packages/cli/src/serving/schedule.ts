// Which sequences hold the batch's slots, and whose prompt is read next.
//
// Three quarters of the slots go to the clients in equal shares, and within a client in order of
// arrival, so that no request starves. One quarter goes to the sequences with the fewest tokens left,
// so that a short request need not wait for long ones. Prompt parts are shared out in turns: one to
// the job with the fewest tokens left, one to the client that was served least recently.

/** A sequence or a job, as the schedule sees it. */
export interface Schedulable {
  readonly client: string;
  /** Tokens that are still to be read and generated. */
  readonly remaining: number;
}

/** Clients whose last turn is remembered. */
const MAX_CLIENTS = 4096;

/** Decode steps after which a batch of one slot changes between both orders. */
const TURN = 16;

export class Schedule {
  /** Clients whose prompts were read, least recently first. */
  private readonly served = new Set<string>();
  private parts = 0;
  private steps = 0;

  /** Call it after each decode step. */
  step(): void {
    this.steps++;
  }

  /**
   * @param sequences in order of arrival
   * @returns those that should hold the slots
   */
  seats<T extends Schedulable>(sequences: readonly T[], slots: number): readonly T[] {
    if (sequences.length <= slots) return sequences;
    const quick = byClients(byRemaining(sequences), new Set()).slice(0, this.quickSlots(slots));
    const chosen = new Set(quick);
    const shared = byClients(sequences, chosen).filter((sequence) => !chosen.has(sequence));
    return [...quick, ...shared.slice(0, slots - quick.length)];
  }

  /** @param jobs whose prompts are not read to the end, in order of arrival */
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

  /** The first job of the client that was served least recently. */
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

/** Fewest tokens left first; of equals, the earlier first. */
function byRemaining<T extends Schedulable>(items: readonly T[]): readonly T[] {
  return items.toSorted((a, b) => a.remaining - b.remaining);
}

/**
 * The first of each client, then the second of each, and so on.
 *
 * @param counted those that come first in their client's count wherever they stand
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
