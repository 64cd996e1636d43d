// An engine in a worker thread, so that HTTP is served while the model computes.
import { Worker } from 'node:worker_threads';
import { ReneError } from '@rene-js/rene/internal';
import type { Engine, EngineLoad, Job, JobEvent } from './job.js';
import type { FromWorker, ToWorker, WorkerSettings } from './worker_messages.js';

/** The model cannot be loaded, or its thread has ended. */
export class ServingError extends ReneError {
  override readonly name = 'ServingError';
}

/** Callbacks while the model is loaded. */
export interface LoadCallbacks {
  /** Called with the number of loaded weights and the total. */
  onProgress?: (done: number, total: number) => void;
  /** Called with notices, such as that a smaller dtype is used. */
  onNotice?: (message: string) => void;
}

type FromReady = Extract<FromWorker, { type: 'ready' }>;

export class WorkerEngine implements Engine {
  /** The model's tfjs backend. */
  readonly backend: string;
  /** The dtype of the weights, e.g. 'bf16'. */
  readonly dtype: string;
  /** Upper bound of the model's token ids. */
  readonly vocabSize: number;
  private readonly jobs = new Map<number, { job: Job; onEvent: (event: JobEvent) => void }>();
  private readonly memoryWaiters: ((memory: { tensors: number; bytes: number }) => void)[] = [];
  private lastLoad: EngineLoad;
  private nextId = 0;
  private readonly exit: Promise<unknown>;
  /** Resolves to the reason when jobs cannot run any more. */
  readonly down: Promise<string>;
  private resolveDown: (reason: string) => void = () => {};
  private reason: string | undefined;

  private constructor(
    private readonly worker: Worker,
    { backend, dtype, vocabSize, load }: FromReady,
    private readonly writesStates: boolean,
  ) {
    this.backend = backend;
    this.dtype = dtype;
    this.vocabSize = vocabSize;
    this.lastLoad = load;
    this.down = new Promise((resolve) => {
      this.resolveDown = resolve;
    });
    worker.on('message', (message: FromWorker) => this.receive(message));
    worker.on('error', (error) => this.fail(`the model's thread failed: ${error.message}`));
    this.exit = new Promise((resolve) => worker.once('exit', resolve));
    void this.exit.then(() => this.fail("the model's thread has ended"));
  }

  /** Starts a thread and loads the model in it. @throws ServingError */
  static start(
    settings: WorkerSettings,
    { onProgress, onNotice }: LoadCallbacks = {},
  ): Promise<WorkerEngine> {
    const worker = new Worker(new URL('./model_worker.js', import.meta.url), {
      workerData: settings,
    });
    return new Promise((resolve, reject) => {
      const onError = (error: Error) => reject(new ServingError(error.message, { cause: error }));
      const onMessage = (message: FromWorker) => {
        if (message.type === 'loading') onProgress?.(message.done, message.total);
        if (message.type === 'notice') onNotice?.(message.message);
        if (message.type === 'failed') {
          reject(new ServingError(message.message));
          void worker.terminate();
        }
        if (message.type !== 'ready') return;
        worker.off('message', onMessage);
        worker.off('error', onError);
        resolve(new WorkerEngine(worker, message, settings.prefixCacheDir !== undefined));
      };
      worker.on('message', onMessage);
      worker.once('error', onError);
      worker.once('exit', () => reject(new ServingError("the model's thread ended while loading")));
    });
  }

  /** The reason why jobs cannot run; undefined while they can. */
  get downReason(): string | undefined {
    return this.reason;
  }

  submit(job: Job, onEvent: (event: JobEvent) => void): () => void {
    if (this.reason !== undefined) {
      onEvent({ type: 'error', message: this.reason, isDown: true });
      return () => {};
    }
    const id = this.nextId++;
    this.jobs.set(id, { job, onEvent });
    this.post({ type: 'submit', id, job });
    return () => {
      if (this.jobs.delete(id)) this.post({ type: 'cancel', id });
    };
  }

  /** Also counts jobs that the worker has not received yet. */
  load(): EngineLoad {
    let all = 0;
    for (const { job } of this.jobs.values()) all += job.n;
    const active = Math.min(this.lastLoad.active, all);
    return { ...this.lastLoad, active, waiting: all - active };
  }

  /** Number and bytes of tensors in the worker, for leak tests. */
  memory(): Promise<{ tensors: number; bytes: number }> {
    return new Promise((resolve) => {
      this.memoryWaiters.push(resolve);
      this.post({ type: 'memory' });
    });
  }

  /** Ends all jobs and the thread. */
  async close(): Promise<void> {
    this.fail('the server is shutting down');
    this.post({ type: 'close' });
    // A step of a large model may take long.
    const timer = setTimeout(
      () => void this.worker.terminate(),
      this.writesStates ? WRITE_TIMEOUT : CLOSE_TIMEOUT,
    );
    await this.exit;
    clearTimeout(timer);
  }

  private post(message: ToWorker): void {
    this.worker.postMessage(message);
  }

  private receive(message: FromWorker): void {
    if (message.type === 'memory') this.memoryWaiters.shift()?.(message);
    if (message.type !== 'events') return;
    this.lastLoad = message.load;
    for (const [id, event] of message.events) {
      const job = this.jobs.get(id);
      if (event.type === 'end' || event.type === 'error') this.jobs.delete(id);
      job?.onEvent(event);
    }
  }

  private fail(reason: string): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    this.resolveDown(reason);
    const jobs = [...this.jobs.values()];
    this.jobs.clear();
    for (const { onEvent } of jobs) onEvent({ type: 'error', message: reason, isDown: true });
  }
}

const CLOSE_TIMEOUT = 2000;
/** Gigabytes of states may be written at the end. */
const WRITE_TIMEOUT = 60_000;
