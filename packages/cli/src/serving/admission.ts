// Limits of sequences in progress, in total and per client.
import { ApiError } from './api_error.js';
import type { Engine } from './job.js';

/** A quarter of the waiting slots is reserved for other clients. */
const CLIENT_SHARE = 0.75;

export class Admission {
  /** Maximum number of sequences of one client. */
  readonly clientLimit: number;
  /** Number of sequences of each client. */
  private readonly clients = new Map<string, number>();
  /** Sequences that are not yet passed to the engine. */
  private preparing = 0;
  private readonly capacity: number;

  /** @param maxWaiting maximum number of sequences that wait for a slot */
  constructor(
    private readonly engine: Engine,
    maxWaiting: number,
  ) {
    const { slots } = engine.load();
    this.capacity = slots + maxWaiting;
    this.clientLimit = slots + Math.ceil(maxWaiting * CLIENT_SHARE);
  }

  /**
   * Admits a request.
   *
   * @throws ApiError (429) if too many sequences are in progress
   */
  enter(client: string, sequences: number): Admitted {
    const { active, waiting } = this.engine.load();
    const own = this.clients.get(client) ?? 0;
    if (active + waiting + this.preparing + sequences > this.capacity) {
      throw tooBusy(`${waiting + this.preparing} sequences wait already`);
    }
    if (own + sequences > this.clientLimit) {
      throw tooBusy(`${own} sequences of this client are in progress already`);
    }
    this.clients.set(client, own + sequences);
    this.preparing += sequences;
    let isPreparing = true;
    const prepared = () => {
      if (isPreparing) this.preparing -= sequences;
      isPreparing = false;
    };
    let isOver = false;
    const leave = () => {
      prepared();
      if (isOver) return;
      isOver = true;
      const rest = (this.clients.get(client) ?? 0) - sequences;
      if (rest > 0) this.clients.set(client, rest);
      else this.clients.delete(client);
    };
    return { prepared, leave };
  }
}

/** An admitted request. */
export interface Admitted {
  /** Its sequences have been passed to the engine. */
  prepared(): void;
  /** It has ended. */
  leave(): void;
}

function tooBusy(why: string): ApiError {
  const message = `${why}; try again later`;
  return new ApiError(429, message, 'rate_limit_error', null, 'rate_limit_exceeded');
}
