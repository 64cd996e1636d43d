// One process at a time: a lock file that its holder keeps young, so that a dead one's is recognised.
import { open, rm, stat, utimes } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** A lock file untouched for so long belongs to a process that is gone. */
const STALE_MS = 20_000;

/**
 * Runs while holding the lock file; waits while another process holds it.
 *
 * @param staleMs milliseconds after which an untouched lock file is a dead process's
 */
export async function withLock<T>(
  path: string,
  signal: AbortSignal | undefined,
  run: () => Promise<T>,
  staleMs = STALE_MS,
): Promise<T> {
  while (!(await take(path))) {
    await sleep(200, undefined, { signal });
    const age = await ageOf(path);
    if (age > staleMs) await rm(path, { force: true });
  }
  const touch = () => void utimes(path, new Date(), new Date()).catch(() => {});
  const heart = setInterval(touch, staleMs / 4).unref();
  try {
    return await run();
  } finally {
    clearInterval(heart);
    await rm(path, { force: true });
  }
}

async function take(path: string): Promise<boolean> {
  try {
    await (await open(path, 'wx')).close();
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Milliseconds since it was last touched; 0 when it is gone. */
async function ageOf(path: string): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => 0,
  );
}
