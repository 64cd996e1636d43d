// An engine in a worker thread, so that HTTP is served while the model computes.
import { Worker } from 'node:worker_threads';
import { ReneError } from '@rene-js/rene/internal';
import { AdapterEngine } from './adapter_engine.js';
import type { Engine, EngineLoad, Job, JobEvent } from './job.js';
import type { AdapterSettings, FromWorker, ToWorker, WorkerSettings } from './worker_messages.js';

/** The model cannot be loaded, or its thread has ended. */
export class ServingError extends ReneError {
  override readonly name = 'ServingError';
}

/** Callbacks of the model's thread. */
export interface LoadCallbacks {
  /** Called with the number of loaded weights and the total. */
  onProgress?: (done: number, total: number) => void;
  /** Called with notices, such as that a smaller dtype is used. */
  onNotice?: (message: string) => void;
}

type FromReady = Extract<FromWorker, { type: 'ready' }>;

/** The number of the thread's own model. */
const MAIN = 0;

interface SubmittedJob {
  readonly model: number;
  readonly job: Job;
  readonly onEvent: (event: JobEvent) => void;
}

interface PendingAdapter {
  resolve(engine: AdapterEngine): void;
  reject(error: ServingError): void;
}

export class WorkerEngine implements Engine {
  /** The model's tfjs backend. */
  readonly backend: string;
  /** The dtype of the weights, e.g. 'bf16'. */
  readonly dtype: string;
  /** Upper bound of the model's token ids. */
  readonly vocabSize: number;
  private readonly jobs = new Map<number, SubmittedJob>();
  private readonly memoryWaiters: ((memory: { tensors: number; bytes: number }) => void)[] = [];
  /** By model, as the thread told them last. */
  private readonly loads = new Map<number, EngineLoad>();
  private readonly pendingAdapters = new Map<number, PendingAdapter>();
  private readonly pendingRemovals = new Map<number, () => void>();
  private nextId = 0;
  private nextModel = MAIN + 1;
  private readonly exit: Promise<unknown>;
  /** Resolves to the reason when jobs cannot run any more. */
  readonly down: Promise<string>;
  private resolveDown: (reason: string) => void = () => {};
  private reason: string | undefined;

  private constructor(
    private readonly worker: Worker,
    { backend, dtype, vocabSize, load }: FromReady,
    private readonly writesStates: boolean,
    private readonly onNotice: (message: string) => void,
  ) {
    this.backend = backend;
    this.dtype = dtype;
    this.vocabSize = vocabSize;
    this.loads.set(MAIN, load);
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
    { onProgress, onNotice = () => {} }: LoadCallbacks = {},
  ): Promise<WorkerEngine> {
    const worker = new Worker(new URL('./model_worker.js', import.meta.url), {
      workerData: settings,
    });
    return new Promise((resolve, reject) => {
      const onError = (error: Error) => reject(new ServingError(error.message, { cause: error }));
      const onMessage = (message: FromWorker) => {
        if (message.type === 'loading') onProgress?.(message.done, message.total);
        if (message.type === 'notice') onNotice(message.message);
        if (message.type === 'failed') {
          reject(new ServingError(message.message));
          void worker.terminate();
        }
        if (message.type !== 'ready') return;
        worker.off('message', onMessage);
        worker.off('error', onError);
        const writesStates = settings.prefixCacheDir !== undefined;
        resolve(new WorkerEngine(worker, message, writesStates, onNotice));
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
    return this.submitTo(MAIN, job, onEvent);
  }

  /** Also counts jobs that the worker has not received yet. */
  load(): EngineLoad {
    return this.loadOf(MAIN);
  }

  /**
   * Loads an adapter of the model into the same thread. The weights that it does not change are shared.
   *
   * @throws ServingError
   */
  addAdapter(adapter: AdapterSettings): Promise<AdapterEngine> {
    if (this.reason !== undefined) return Promise.reject(new ServingError(this.reason));
    const model = this.nextModel++;
    return new Promise((resolve, reject) => {
      this.pendingAdapters.set(model, { resolve, reject });
      this.post({ type: 'add', model, adapter });
    });
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

  private submitTo(model: number, job: Job, onEvent: (event: JobEvent) => void): () => void {
    if (this.reason !== undefined) {
      onEvent({ type: 'error', message: this.reason, isDown: true });
      return () => {};
    }
    const id = this.nextId++;
    this.jobs.set(id, { model, job, onEvent });
    this.post({ type: 'submit', model, id, job });
    return () => {
      if (this.jobs.delete(id)) this.post({ type: 'cancel', id });
    };
  }

  private loadOf(model: number): EngineLoad {
    const last = this.loads.get(model) ?? { active: 0, waiting: 0, slots: 0 };
    let all = 0;
    for (const { model: owner, job } of this.jobs.values()) if (owner === model) all += job.n;
    const active = Math.min(last.active, all);
    return { ...last, active, waiting: all - active };
  }

  private receive(message: FromWorker): void {
    switch (message.type) {
      case 'memory':
        this.memoryWaiters.shift()?.(message);
        return;
      case 'notice':
        this.onNotice(message.message);
        return;
      case 'events':
        this.loads.set(message.model, message.load);
        for (const [id, event] of message.events) {
          const job = this.jobs.get(id);
          if (event.type === 'end' || event.type === 'error') this.jobs.delete(id);
          job?.onEvent(event);
        }
        return;
      case 'added': {
        const { model, dtype, load } = message;
        this.loads.set(model, load);
        this.settleAdapter(model)?.resolve(this.adapterEngine(model, dtype));
        return;
      }
      case 'refused':
        this.settleAdapter(message.model)?.reject(new ServingError(message.message));
        return;
      case 'removed':
        this.loads.delete(message.model);
        this.pendingRemovals.get(message.model)?.();
        this.pendingRemovals.delete(message.model);
    }
  }

  private settleAdapter(model: number): PendingAdapter | undefined {
    const pending = this.pendingAdapters.get(model);
    this.pendingAdapters.delete(model);
    return pending;
  }

  private adapterEngine(model: number, dtype: string): AdapterEngine {
    return new AdapterEngine(dtype, {
      submit: (job, onEvent) => this.submitTo(model, job, onEvent),
      load: () => this.loadOf(model),
      downReason: () => this.reason,
      close: () => this.removeAdapter(model),
    });
  }

  private removeAdapter(model: number): Promise<void> {
    if (this.reason !== undefined) return Promise.resolve(); // its memory ends with the thread
    return new Promise((resolve) => {
      this.pendingRemovals.set(model, resolve);
      this.post({ type: 'remove', model });
    });
  }

  private fail(reason: string): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    this.resolveDown(reason);
    const jobs = [...this.jobs.values()];
    this.jobs.clear();
    for (const { onEvent } of jobs) onEvent({ type: 'error', message: reason, isDown: true });
    for (const { reject } of this.pendingAdapters.values()) reject(new ServingError(reason));
    for (const resolve of this.pendingRemovals.values()) resolve();
    this.pendingAdapters.clear();
    this.pendingRemovals.clear();
  }
}

const CLOSE_TIMEOUT = 2000;
/** Gigabytes of states may be written at the end. */
const WRITE_TIMEOUT = 60_000;
