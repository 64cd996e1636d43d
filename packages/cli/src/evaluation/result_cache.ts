// Caches results of requests on disk, so that a stopped run can continue.
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder } from '@rene-js/rene/internal';
import { systemCode, systemReason } from '@rene-js/rene/internal/startup';
import type { Loglikelihood } from './metrics.js';
import type { TokenRequest } from './requests.js';

/** The key of a request: its tokens and the start of the continuation. */
export function requestKey(request: TokenRequest, maxLength: number): string {
  const { contextIds, continuationIds } = request;
  const numbers = [maxLength, contextIds.length, ...contextIds, ...continuationIds];
  return createHash('sha256').update(Int32Array.from(numbers)).digest('base64url').slice(0, 22);
}

/**
 * One model's results in a file of lines: key, log-likelihood, 1 if greedy. A line is written as soon as
 * its result is known. An incomplete line after a crash is ignored. If the file cannot be written, results
 * stay in memory, and `onNotice` is called.
 */
export class ResultCache {
  private readonly known = new Map<string, Loglikelihood>();
  private file: number | undefined;

  /** @param path created if necessary */
  constructor(
    private readonly path: string,
    private readonly onNotice: (notice: string) => void,
  ) {
    this.onDisk('written', () => {
      makeFolder(dirname(path));
      this.file = openSync(path, 'a');
    });
    // A read-only file is still read.
    const text = existsSync(path)
      ? (this.onDisk('read', () => readFileSync(path, 'utf8')) ?? '')
      : '';
    for (const line of text.split('\n')) this.read(line);
    // Start a new line after an incomplete one.
    if (text !== '' && !text.endsWith('\n')) this.write('\n');
  }

  /** Whether the next run will find the results. */
  get isKept(): boolean {
    return this.file !== undefined;
  }

  /** The cached result of a request. */
  get(key: string): Loglikelihood | undefined {
    return this.known.get(key);
  }

  /** Stores a result. It is in the file when this returns, if there is one. */
  set(key: string, result: Loglikelihood): void {
    this.known.set(key, result);
    this.write(`${key} ${result.loglikelihood} ${result.isGreedy ? 1 : 0}.\n`);
  }

  get size(): number {
    return this.known.size;
  }

  /** Closes the file, which stays for the next run. */
  close(): void {
    if (this.file !== undefined) closeSync(this.file);
    this.file = undefined;
  }

  private write(text: string): void {
    const { file } = this;
    if (file !== undefined) this.onDisk('written', () => writeSync(file, text));
  }

  /** Continues without the file if it cannot be written. */
  private onDisk<T>(action: 'read' | 'written', run: () => T): T | undefined {
    try {
      return run();
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      this.onNotice(
        `${this.path}: cannot be ${action}: ${systemReason(error)}; results are not kept for the next run`,
      );
      this.close();
      return undefined;
    }
  }

  /** The final full stop marks a complete line. */
  private read(line: string): void {
    const [, key, value, greedy] = line.match(/^([\w-]{22}) (\S+) ([01])\.$/) ?? [];
    if (key === undefined) return;
    this.known.set(key, { loglikelihood: Number(value), isGreedy: greedy === '1' });
  }
}
