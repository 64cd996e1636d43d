// Names of models in Redis: which identity the workers of a name have.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { QueueError } from './redis.js';

/** Seconds after which the name of a model without workers is free again. */
const KEPT = 60;

/** The queue of a model: workers of another model never see its work. */
export function queueName(identity: string): string {
  return `rene-${identity}`;
}

function keyOf(name: string): string {
  return `rene:model:${name}`;
}

/**
 * Registers a worker's model, until the signal is aborted.
 *
 * @throws QueueError if workers with this name have another model or dtype
 */
export async function register(
  redis: Redis,
  name: string,
  identity: string,
  signal: AbortSignal,
): Promise<void> {
  const refresh = async () => {
    await redis.set(keyOf(name), identity, 'EX', KEPT, 'NX');
    const known = await redis.get(keyOf(name));
    if (known === identity) await redis.expire(keyOf(name), KEPT);
    return known;
  };
  const known = await refresh();
  if (known !== null && known !== identity) {
    throw new QueueError(
      `other workers serve another model, or another dtype, as '${name}': ` +
        `their fingerprint is ${known}, this one's is ${identity}; ` +
        'choose another --served-model-name, or the same model and --dtype',
    );
  }
  const timer = setInterval(() => void refresh().catch(() => {}), (KEPT / 4) * 1000);
  timer.unref();
  signal.addEventListener('abort', () => clearInterval(timer));
}

/** The identity of the workers with this name. Waits until there is one. */
export async function identityOf(
  redis: Redis,
  name: string,
  onWait: () => void,
  signal: AbortSignal,
): Promise<string> {
  for (let told = false; ; told = true) {
    const identity = await redis.get(keyOf(name));
    if (identity !== null) return identity;
    if (!told) onWait();
    await sleep(500, undefined, { signal });
  }
}
