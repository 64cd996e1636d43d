// A tokenizer in a worker thread, so that HTTP is served while long texts are encoded.
import { Worker } from 'node:worker_threads';
import { type EncodeOptions, type Tokenizer, TokenizerError } from '@rene-js/rene';
import type { TokenizerAnswer, TokenizerRequest } from './tokenizer_worker.js';

/** Options of a prompt encoder. */
export interface PromptEncodeOptions extends EncodeOptions {
  /** Cancels the work; the promise is rejected with the signal's reason. Default: none. */
  signal?: AbortSignal | undefined;
}

/** Encodes prompts. */
export interface PromptEncoder {
  /** The ids of a text. @throws TokenizerError */
  encode(text: string, options?: PromptEncodeOptions): number[] | Promise<number[]>;
}

/** The thread has ended for another reason than the text. */
export class TokenizerThreadError extends TokenizerError {}

/** A text that is being encoded. */
interface Waiter {
  resolve: (ids: number[]) => void;
  reject: (error: unknown) => void;
}

/** Length that takes a few milliseconds at most. */
const SHORT = 1000;

/** Encodes short texts directly and others in the thread, in turns with the shortest first. */
export class TokenizerThread implements PromptEncoder {
  private readonly waiters = new Map<number, Waiter>();
  private worker: Worker | undefined;
  private lastId = 0;

  /**
   * Starts the thread.
   *
   * @param path the tokenizer.json of the thread
   * @param tokenizer the same one, for short texts
   */
  constructor(
    private readonly path: string,
    private readonly tokenizer: Pick<Tokenizer, 'encode' | 'isFast'>,
  ) {
    this.worker = this.start();
  }

  /** The ids of a text. @throws TokenizerError */
  encode(
    text: string,
    { signal, ...options }: PromptEncodeOptions = {},
  ): number[] | Promise<number[]> {
    signal?.throwIfAborted();
    if (text.length <= SHORT && this.tokenizer.isFast) return this.tokenizer.encode(text, options);
    const id = ++this.lastId;
    const worker = this.worker ?? this.start(); // a new one where a text was too much for the last
    this.worker = worker;
    const post = (request: TokenizerRequest) => worker.postMessage(request);
    return new Promise<number[]>((resolve, reject) => {
      const onAbort = () => {
        this.waiters.delete(id);
        post({ type: 'cancel', id });
        reject(signal?.reason);
      };
      const settled = () => signal?.removeEventListener('abort', onAbort);
      this.waiters.set(id, {
        resolve: (ids) => {
          settled();
          resolve(ids);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      });
      signal?.addEventListener('abort', onAbort, { once: true });
      post({ type: 'encode', id, text, options });
    });
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    await this.worker?.terminate();
  }

  private start(): Worker {
    const url = new URL('./tokenizer_worker.js', import.meta.url);
    const worker = new Worker(url, { workerData: this.path });
    worker.on('message', (answer: TokenizerAnswer) => {
      const waiter = this.waiters.get(answer.id);
      this.waiters.delete(answer.id); // it is gone already where its client left
      if ('ids' in answer) waiter?.resolve(listOf(answer.ids));
      else waiter?.reject(new TokenizerError(answer.error));
    });
    const onEnd = (why: string) => {
      if (this.worker !== worker) return;
      this.worker = undefined;
      const waiting = [...this.waiters.values()];
      this.waiters.clear();
      for (const { reject } of waiting) reject(new TokenizerThreadError(why));
    };
    worker.on('error', ({ message }) => onEnd(`the tokenizer's thread failed: ${message}`));
    worker.on('exit', () => onEnd("the tokenizer's thread has ended"));
    return worker;
  }
}

/** A list of numbers; spreading three million of them takes most of a second. */
function listOf(ids: Int32Array): number[] {
  const list = new Array<number>(ids.length);
  for (let i = 0; i < ids.length; i++) list[i] = ids[i] ?? 0;
  return list;
}

/** Encodes in this thread, so that the signal has no effect. */
export function atOnce(tokenizer: Pick<Tokenizer, 'encode'>): PromptEncoder {
  return {
    encode: (text, { addSpecialTokens } = {}) => tokenizer.encode(text, { addSpecialTokens }),
  };
}
