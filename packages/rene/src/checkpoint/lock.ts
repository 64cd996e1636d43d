// A lock file between processes. It names its owner, so that a stale lock is recognised.
import { randomUUID } from 'node:crypto';
import { open, readFile, rm, stat, utimes } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { asRecord } from '../json.js';
import { isAlive, type ProcessIdentity, thisProcess } from './process_identity.js';

/** Age after which an untouched lock is stale if its owner cannot be looked up. */
const STALE_MS = 20_000;
const POLL_MS = 200;

/** How to wait for a lock. */
export interface LockOptions {
  signal?: AbortSignal | undefined;
  /** Milliseconds after which an untouched lock of an unknown owner is stale. Default: 20,000. */
  staleMs?: number | undefined;
  /** Called once if the lock is held, with the owner's process id if known. */
  onWait?: ((pid: number | undefined) => void) | undefined;
}

/**
 * Runs a function while holding the lock file. Waits while a living process holds it. A lock of an ended
 * process of this machine is taken over at once, that of an unknown one when it is stale.
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
    // Another process may have taken it over meanwhile.
    if ((await contentOf(path)) === content) await rm(path, { force: true });
  }
}

/** Creates the lock file if there is none. */
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
 * Removes a stale lock file. It requires a second lock, so that no new lock is removed between reading and
 * removing.
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

/** The owner in a lock file. An older version wrote none. */
function ownerOf(content: string | undefined): ProcessIdentity | undefined {
  try {
    const { host, pid, started } = asRecord(JSON.parse(content ?? '')) ?? {};
    if (typeof host !== 'string' || typeof pid !== 'number') return undefined;
    return { host, pid, started: typeof started === 'string' ? started : undefined };
  } catch {
    return undefined;
  }
}

/** undefined if the file was removed. */
async function contentOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

/** Milliseconds since it was last touched; 0 if it was removed. */
async function ageOf(path: string): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => 0,
  );
}
