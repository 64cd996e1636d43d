// The answer to one call of the page, on the call's port.
import type { GenerationProgress } from '../../generation/progress.js';
import { type Control, listen, type Port, type Reply, WINDOW } from '../messages.js';
import { toWire } from '../wire_errors.js';

export class Answer {
  private readonly aborted = new AbortController();
  /** Streamed values that the page has not taken. */
  private ahead = 0;
  private resume = () => {};

  constructor(private readonly port: Port) {
    listen<Control>(port, (control) => {
      if (control === 'abort') this.aborted.abort();
      else this.ahead--;
      this.resume();
    });
  }

  /** Aborts when the page ends the call. */
  get signal(): AbortSignal {
    return this.aborted.signal;
  }

  readonly onProgress = (progress: GenerationProgress): void => {
    this.send({ type: 'progress', progress });
  };

  /** Sends what a generator yields, a few values ahead of the page. @returns its return value */
  async values<Value, Result>(source: AsyncGenerator<Value, Result, void>): Promise<Result> {
    for (;;) {
      const step = await source.next();
      if (step.done) return step.value;
      this.send({ type: 'value', value: step.value });
      this.ahead++;
      while (this.ahead >= WINDOW && !this.signal.aborted) {
        await new Promise<void>((resolve) => {
          this.resume = resolve;
        });
      }
    }
  }

  send(reply: Reply<unknown, unknown>): void {
    this.port.postMessage(reply);
  }

  done(result: unknown): void {
    this.send({ type: 'done', result });
  }

  error(error: unknown): void {
    this.send({ type: 'error', error: toWire(error) });
  }
}
