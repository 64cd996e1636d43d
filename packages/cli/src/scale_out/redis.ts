// Connections to Redis or Valkey, by the optional packages bullmq and ioredis.
import { ReneError } from '@rene-js/rene/internal/startup';
import type { Redis } from 'ioredis';

/** Work cannot be shared through Redis. */
export class QueueError extends ReneError {
  override readonly name = 'QueueError';
}

/** @throws QueueError if the optional packages are not installed */
export async function loadBullMq(): Promise<typeof import('bullmq')> {
  return import('bullmq').catch((error: unknown) => {
    throw notInstalled(error);
  });
}

function notInstalled(cause: unknown): QueueError {
  return new QueueError('--queue needs two packages: npm install bullmq ioredis', { cause });
}

/**
 * Connects, and connects again whenever the connection is lost: commands wait meanwhile.
 *
 * @param onNotice told when the connection is lost and when it is there again
 * @throws QueueError for an invalid URL, or if nothing answers at first
 */
export async function connect(url: string, onNotice: (notice: string) => void): Promise<Redis> {
  const where = shownUrl(url);
  const { Redis } = await import('ioredis').catch((error: unknown) => {
    throw notInstalled(error);
  });
  const redis = new Redis(url, {
    maxRetriesPerRequest: null, // as BullMQ wants it
    lazyConnect: true,
    retryStrategy: (times) => Math.min(100 * times, 2000),
  });
  let reason = '';
  let isLost = false;
  redis.on('error', (error: Error) => {
    reason = error.message;
  });
  try {
    await redis.connect();
  } catch (error) {
    redis.disconnect();
    const why = reason || (error instanceof Error ? error.message : String(error));
    throw new QueueError(`${where}: no connection: ${why}`, { cause: error });
  }
  redis.on('close', () => {
    if (!isLost) onNotice(`${where}: the connection is lost; connecting again`);
    isLost = true;
  });
  redis.on('ready', () => {
    if (isLost) onNotice(`${where}: connected again`);
    isLost = false;
  });
  return redis;
}

/** Ends a connection. */
export function disconnect(redis: Redis): void {
  redis.removeAllListeners('close'); // nothing is lost
  redis.disconnect();
}

/** The URL without its password. @throws QueueError if it is none of Redis */
export function shownUrl(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !/^rediss?:$/.test(parsed.protocol) || parsed.hostname === '') {
    const expected = 'redis://HOST:PORT, or rediss:// for TLS';
    throw new QueueError(`--queue: expected ${expected}, found another text`);
  }
  return `${parsed.protocol}//${parsed.host}${parsed.pathname}`;
}
