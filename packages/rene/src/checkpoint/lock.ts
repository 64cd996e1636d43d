// A lock file between processes. It names its owner, so that a dead owner's lock is recognised.
import { randomUUID } from 'node:crypto';
import { open, readFile, rm, stat, utimes } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { asRecord } from '../json.js';
import { isAlive, type ProcessIdentity, thisProcess } from './process_identity.js';

/** A lock file untouched for so long belongs to a dead process, where its owner cannot be looked up. */
const STALE_MS = 20_000;
const POLL_MS = 200;

/** How to wait for a lock. */
export interface LockOptions {
  signal?: AbortSignal | undefined;
  /** Milliseconds after which an untouched lock of an unknown owner is a dead one. Default 20,000. */
  staleMs?: number | undefined;
  /** Called once, if the lock is held, with the owner's process id where that is known. */
  onWait?: ((pid: number | undefined) => void) | undefined;
}

/**
 * Runs while holding the lock file; waits while a living process holds it. The lock of a process of
 * this machine that has ended is taken over at once, that of an unknown one once it is stale.
 */
export async function withLock<T>(
  path: string,
  { signal, staleMs = STALE_MS, onWait }: LockOptions,
  run: () => Promise<T>,
): Promise<T> {
  const content = JSON.stringify({ ...(await thisProcess()), id: randomUUID() });
  let told = false;
  while (!(await take(path, content))) {
    if (await takeOver(path, staleMs)) continue;
    if (!told) onWait?.(ownerOf(await contentOf(path))?.pid);
    told = true;
    await sleep(POLL_MS, undefined, { signal });
  }
  const touch = () => void utimes(path, new Date(), new Date()).catch(() => {});
  const heart = setInterval(touch, staleMs / 4).unref();
  try {
    return await run();
  } finally {
    clearInterval(heart);
    // Taken over meanwhile, it is another's.
    if ((await contentOf(path)) === content) await rm(path, { force: true });
  }
}

/** Creates the lock file, unless there is one. */
async function take(path: string, content: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    try {
      await file.writeFile(content);
    } catch (error) {
      await rm(path, { force: true }); // the disk is full
      throw error;
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Removes the lock file of a dead owner. Only the holder of a second lock file may do so: between
 * reading and removing, nobody else replaces a dead lock by a living one.
 */
async function takeOver(path: string, staleMs: number): Promise<boolean> {
  if (!(await isDead(path, staleMs))) return false;
  const claim = `${path}.takeover`;
  if (!(await take(claim, ''))) {
    if ((await ageOf(claim)) > staleMs) await rm(claim, { force: true });
    return false;
  }
  try {
    if (!(await isDead(path, staleMs))) return false;
    await rm(path, { force: true });
    return true;
  } finally {
    await rm(claim, { force: true });
  }
}

async function isDead(path: string, staleMs: number): Promise<boolean> {
  const owner = ownerOf(await contentOf(path));
  const alive = owner && (await isAlive(owner));
  return alive === undefined ? (await ageOf(path)) > staleMs : !alive;
}

/** The owner that a lock file names. An older version left it empty. */
function ownerOf(content: string | undefined): ProcessIdentity | undefined {
  try {
    const { host, pid, started } = asRecord(JSON.parse(content ?? '')) ?? {};
    if (typeof host !== 'string' || typeof pid !== 'number') return undefined;
    return { host, pid, started: typeof started === 'string' ? started : undefined };
  } catch {
    return undefined;
  }
}

/** undefined when the file is gone. */
async function contentOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

/** Milliseconds since it was last touched; 0 when it is gone. */
async function ageOf(path: string): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => 0,
  );
}
