// A tokenizer in a worker thread: long texts take it seconds, in which HTTP goes on.
import { Worker } from 'node:worker_threads';
import { TokenizerError } from '../errors.js';
import type { EncodeOptions, Tokenizer } from '../tokenizer.js';
import type { EncodeAnswer, EncodeTask } from './tokenizer_worker.js';

/** The part of a tokenizer that may take long. */
export interface PromptEncoder {
  /** The ids of a text, at once or later. @throws TokenizerError */
  encode(text: string, options?: EncodeOptions): number[] | Promise<number[]>;
}

interface Waiter {
  resolve: (ids: number[]) => void;
  reject: (error: Error) => void;
}

/** Characters that take some milliseconds at most, 20 where they are no words. */
const SHORT = 1000;

/** Short texts are turned into ids at once, and need not wait for long ones. */
export class TokenizerThread implements PromptEncoder {
  /** Of the texts that were posted, in their order, which is that of the answers. */
  private readonly waiters: Waiter[] = [];
  private worker: Worker | undefined;

  /**
   * @param path the tokenizer.json of the thread
   * @param tokenizer the same one, for short texts
   */
  constructor(
    private readonly path: string,
    private readonly tokenizer: Pick<Tokenizer, 'encode'>,
  ) {
    this.worker = this.start();
  }

  /** @throws TokenizerError */
  encode(text: string, options: EncodeOptions = {}): number[] | Promise<number[]> {
    if (text.length <= SHORT) return this.tokenizer.encode(text, options);
    return new Promise((resolve, reject) => {
      this.waiters.push({ resolve, reject });
      this.worker ??= this.start(); // a new one where a text was too much for the last
      const task: EncodeTask = { text, options };
      this.worker.postMessage(task);
    });
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    await this.worker?.terminate();
  }

  private start(): Worker {
    const url = new URL('./tokenizer_worker.js', import.meta.url);
    const worker = new Worker(url, { workerData: this.path });
    worker.on('message', (answer: EncodeAnswer) => {
      const waiter = this.waiters.shift();
      if ('ids' in answer) waiter?.resolve(answer.ids);
      else waiter?.reject(new TokenizerError(answer.error));
    });
    const onEnd = (why: string) => {
      if (this.worker !== worker) return;
      this.worker = undefined;
      for (const { reject } of this.waiters.splice(0)) reject(new TokenizerError(why));
    };
    worker.on('error', ({ message }) => onEnd(`the tokenizer's thread failed: ${message}`));
    worker.on('exit', () => onEnd("the tokenizer's thread has ended"));
    return worker;
  }
}
