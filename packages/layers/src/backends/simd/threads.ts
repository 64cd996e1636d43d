// How many threads the backend 'simd' uses.
import { InvalidArgumentError } from '../../errors.js';
import { availableCores, environment } from './platform.js';

/** Options that determine the number of threads; see SimdOptions. */
export interface ThreadOptions {
  threads?: number | undefined;
  oversubscribe?: boolean | undefined;
}

const MOST_THREADS = 1024;

/**
 * The requested threads, else RENE_THREADS, at most the cores; else all cores. Prints a notice if more
 * threads than cores are requested, since waiting for the slowest thread costs more than they gain.
 *
 * @throws InvalidArgumentError if the number is not an integer from 1 to 1024
 */
export async function chooseThreads({ threads, oversubscribe }: ThreadOptions): Promise<number> {
  const cores = await availableCores();
  const asked = askedThreads(threads);
  if (!asked) return cores;
  if (asked.count <= cores || oversubscribe) return asked.count;
  const plural = cores === 1 ? 'core' : 'cores';
  console.warn(
    `${asked.name}: this process may use ${cores} ${plural}; using ${cores} instead of ${asked.count} threads`,
  );
  return cores;
}

/** @throws InvalidArgumentError if `threads`, or else RENE_THREADS, is not an integer from 1 to 1024 */
export function askedThreads(threads?: number): { name: string; count: number } | undefined {
  const text = environment('RENE_THREADS');
  if (threads === undefined && !text) return undefined;
  const name = threads === undefined ? 'RENE_THREADS' : 'threads';
  const count = threads ?? Number(text);
  if (!Number.isInteger(count) || count < 1 || count > MOST_THREADS) {
    const expected = `a whole number from 1 to ${MOST_THREADS}`;
    throw new InvalidArgumentError(name, expected, `${threads ?? text}`);
  }
  return { name, count };
}
