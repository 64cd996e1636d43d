// Results of requests on disk, so that a run that was stopped continues where it was.
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder } from '@rene-js/rene/internal';
import { systemCode, systemReason } from '@rene-js/rene/internal/startup';
import type { Loglikelihood } from './metrics.js';
import type { TokenRequest } from './requests.js';

/** What a request is known by: its tokens, and where they are cut. */
export function requestKey(request: TokenRequest, maxLength: number): string {
  const { contextIds, continuationIds } = request;
  const numbers = [maxLength, contextIds.length, ...contextIds, ...continuationIds];
  return createHash('sha256').update(Int32Array.from(numbers)).digest('base64url').slice(0, 22);
}

/**
 * One model's results in a file of lines: key, log-likelihood, 1 if greedy. A line is written as
 * soon as its result is there; a line that was torn by a crash is measured again. Where the file cannot
 * be written, results are kept in memory alone, and `onNotice` says so.
 */
export class ResultCache {
  private readonly known = new Map<string, Loglikelihood>();
  private file: number | undefined;

  /** @param path made if it is not there */
  constructor(
    private readonly path: string,
    private readonly onNotice: (notice: string) => void,
  ) {
    this.onDisk('written', () => {
      makeFolder(dirname(path));
      this.file = openSync(path, 'a');
    });
    // Where it can only be read, its results are used.
    const text = existsSync(path)
      ? (this.onDisk('read', () => readFileSync(path, 'utf8')) ?? '')
      : '';
    for (const line of text.split('\n')) this.read(line);
    // What comes next starts on a line of its own.
    if (text !== '' && !text.endsWith('\n')) this.write('\n');
  }

  /** Whether the next run finds the results. */
  get isKept(): boolean {
    return this.file !== undefined;
  }

  /** The result of a request, if it is known. */
  get(key: string): Loglikelihood | undefined {
    return this.known.get(key);
  }

  /** Keeps a result: it is in the file when this returns, if there is one. */
  set(key: string, result: Loglikelihood): void {
    this.known.set(key, result);
    this.write(`${key} ${result.loglikelihood} ${result.isGreedy ? 1 : 0}.\n`);
  }

  get size(): number {
    return this.known.size;
  }

  /** Closes the file. Results stay there for the next run. */
  close(): void {
    if (this.file !== undefined) closeSync(this.file);
    this.file = undefined;
  }

  private write(text: string): void {
    const { file } = this;
    if (file !== undefined) this.onDisk('written', () => writeSync(file, text));
  }

  /** Goes on without the file where the file system refuses it. */
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

  /** The full stop at its end tells a whole line from a torn one. */
  private read(line: string): void {
    const [, key, value, greedy] = line.match(/^([\w-]{22}) (\S+) ([01])\.$/) ?? [];
    if (key === undefined) return;
    this.known.set(key, { loglikelihood: Number(value), isGreedy: greedy === '1' });
  }
}
