// Results of requests on disk, so that a run that was stopped continues where it was.
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileError } from '@rene-js/rene/internal';
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
 * soon as its result is there; a line that was torn by a crash is measured again.
 */
export class ResultCache {
  private readonly known = new Map<string, Loglikelihood>();
  private readonly file: number;

  /**
   * @param path made if it is not there
   * @throws FileError when it cannot be written
   */
  constructor(private readonly path: string) {
    this.file = this.named(() => {
      mkdirSync(dirname(path), { recursive: true });
      return openSync(path, 'a+');
    });
    const text = this.named(() => readFileSync(path, 'utf8'));
    for (const line of text.split('\n')) this.read(line);
    // What comes next starts on a line of its own.
    if (text !== '' && !text.endsWith('\n')) this.write('\n');
  }

  /** The result of a request, if it is known. */
  get(key: string): Loglikelihood | undefined {
    return this.known.get(key);
  }

  /** Keeps a result: it is in the file when this returns. @throws FileError when the disk is full */
  set(key: string, result: Loglikelihood): void {
    this.known.set(key, result);
    this.write(`${key} ${result.loglikelihood} ${result.isGreedy ? 1 : 0}.\n`);
  }

  get size(): number {
    return this.known.size;
  }

  /** Closes the file. Results stay there for the next run. */
  close(): void {
    closeSync(this.file);
  }

  private write(text: string): void {
    this.named(() => writeSync(this.file, text));
  }

  private named<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      throw fileError(this.path, 'written', error);
    }
  }

  /** The full stop at its end tells a whole line from a torn one. */
  private read(line: string): void {
    const [, key, value, greedy] = line.match(/^([\w-]{22}) (\S+) ([01])\.$/) ?? [];
    if (key === undefined) return;
    this.known.set(key, { loglikelihood: Number(value), isGreedy: greedy === '1' });
  }
}
