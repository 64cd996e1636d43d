// Retries requests after transient failures and respects servers' requested waits.
import { setTimeout as sleep } from 'node:timers/promises';
import { HubError } from '../errors.js';

export interface RetryHabits {
  signal?: AbortSignal | undefined;
  /** Milliseconds before the first retry; doubled each time. Default: 1000. */
  retryDelay?: number | undefined;
  /** Called when a server asks to wait. */
  onNotice?: ((notice: string) => void) | undefined;
}

export interface RetryOptions {
  /** Maximum number of retries without progress. Default: 5. */
  maxTries?: number | undefined;
  /** A progress counter. When it grows, the retries are counted anew. */
  progress?: (() => Promise<number>) | undefined;
  /** Time (as in Date.now) after which requests without any response are not retried. */
  deadline?: number | undefined;
}

const MAX_TRIES = 5;
const MAX_DELAY_MS = 60_000;
/** The window of the hub's rate limit, and some more. */
const MAX_WAIT_S = 330;

/** A failure that a retry may fix. */
export class TransientError extends HubError {
  constructor(
    message: string,
    /** Seconds that the server asks to wait. */
    readonly retryAfter?: number,
    options?: ErrorOptions & { status?: number },
  ) {
    super(message, options);
  }
}

/** Runs a request until it succeeds or the retries are used up. */
export async function withRetries<T>(
  { signal, retryDelay = 1000, onNotice }: RetryHabits,
  run: () => Promise<T>,
  { maxTries = MAX_TRIES, progress = async () => 0, deadline = Infinity }: RetryOptions = {},
): Promise<T> {
  let furthest = await progress();
  let waited = 0;
  for (let failures = 1; ; failures++) {
    try {
      return await run();
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof TransientError)) throw error;
      const reached = await progress();
      if (reached > furthest) failures = 1;
      furthest = Math.max(furthest, reached);
      const told = error.retryAfter;
      // A requested wait is not a failure. Without a bound, a server could delay us forever.
      if (told !== undefined && told >= 1 && maxTries > 1) {
        waited += told;
        const time = `${Math.ceil(told)} s`;
        if (waited > MAX_WAIT_S) throw gaveUp(error, `it asks to wait ${time}: try again then`);
        onNotice?.(`${error.message}: waiting ${time}, as requested`);
        failures--;
      }
      const backoff = Math.min(retryDelay * 2 ** (failures - 1), MAX_DELAY_MS);
      const delay = told === undefined ? backoff : told * 1000;
      const isLate = error.status === undefined && Date.now() + delay > deadline;
      if (failures >= maxTries || isLate) throw gaveUp(error, `tried ${times(failures)}`);
      await sleep(delay, undefined, { signal }).catch(() => signal?.throwIfAborted());
    }
  }
}

function gaveUp(error: TransientError, why: string): HubError {
  const { status } = error;
  return new HubError(`${error.message} (${why})`, {
    cause: error,
    ...(status !== undefined && { status }),
  });
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}
