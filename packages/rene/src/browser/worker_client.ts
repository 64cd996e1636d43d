// Calls to the worker that runs a model: one MessagePort a call.
import { type Control, listen, type Port, type Reply, type Request } from './messages.js';
import { fromWire, WorkerError } from './wire_errors.js';

/** The part of a Worker that is used. */
export interface ModelThread {
  postMessage(message: unknown, transfer: readonly object[]): void;
  terminate(): void;
}

export interface CallOptions<Value> {
  onValue?: ((value: Value) => void) | undefined;
  onReply?: ((reply: Reply<Value, never>) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** A call whose values are taken one by one. */
export interface Call<Result> {
  readonly result: Promise<Result>;
  send(control: Control): void;
}

export class WorkerClient {
  private failure: Error | undefined;
  private readonly running = new Set<(error: Error) => void>();

  /** @param thread its owner; ended by `end` */
  constructor(private readonly thread: ModelThread) {}

  /** Sends a request. Values and progress arrive until the result does. */
  start<Result, Value = never>(
    request: Request,
    { onValue, onReply, signal }: CallOptions<Value> = {},
  ): Call<Result> {
    const { port1, port2 } = new MessageChannel();
    const send = (control: Control) => port1.postMessage(control);
    const abort = () => send('abort');
    const result = new Promise<Result>((resolve, reject) => {
      if (this.failure) throw this.failure;
      const end = () => {
        this.running.delete(fail);
        signal?.removeEventListener('abort', abort);
        port1.close();
      };
      const fail = (error: Error) => {
        end();
        reject(error);
      };
      this.running.add(fail);
      listen<Reply<Value, Result>>(port1, (reply) => {
        switch (reply.type) {
          case 'done':
            end();
            resolve(reply.result);
            return;
          case 'error':
            fail(fromWire(reply.error, signal?.reason));
            return;
          case 'value':
            onValue?.(reply.value);
            return;
          default:
            onReply?.(reply);
        }
      });
      try {
        this.thread.postMessage({ request, port: port2 }, [port2]);
      } catch (error) {
        // An option that cannot be cloned.
        end();
        throw error;
      }
      signal?.addEventListener('abort', abort, { once: true });
      if (signal?.aborted) abort();
    });
    return { result, send };
  }

  call<Result>(request: Request, options: CallOptions<never> = {}): Promise<Result> {
    return this.start<Result>(request, options).result;
  }

  /**
   * Yields a call's values; its return value is the call's result. Leaving it early ends the call. After an abort
   * nothing is yielded.
   */
  async *values<Value, Result>(
    request: Request,
    options: Omit<CallOptions<Value>, 'onValue'> = {},
  ): AsyncGenerator<Value, Result, void> {
    const queue: Value[] = [];
    let wake = () => {};
    let ended = false;
    const { result, send } = this.start<Result, Value>(request, {
      ...options,
      onValue: (value) => {
        queue.push(value);
        wake();
      },
    });
    const whenEnded = () => {
      ended = true;
      wake();
    };
    result.then(whenEnded, whenEnded);
    const isAborted = () => options.signal?.aborted === true;
    try {
      for (;;) {
        const value = isAborted() ? undefined : queue.shift();
        if (value !== undefined) {
          send('taken');
          yield value;
        } else if (ended) {
          return await result;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      if (!ended) {
        send('abort');
        // The worker is free again once the call has ended.
        await result.catch(() => {});
      }
    }
  }

  /** Ends the worker. Running and later calls fail with `error`. */
  end(error: Error = new WorkerError('this model was disposed: load it again')): void {
    this.failure ??= error;
    this.thread.terminate();
    for (const fail of [...this.running]) fail(this.failure);
  }
}

export type { Port };
