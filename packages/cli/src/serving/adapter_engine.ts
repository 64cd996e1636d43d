// The engine of an adapter, in the thread of the model that it adapts.
import type { Engine, EngineLoad, Job, JobEvent } from './job.js';

/** What an adapter needs of the thread's WorkerEngine. */
interface AdapterHost {
  submit(job: Job, onEvent: (event: JobEvent) => void): () => void;
  load(): EngineLoad;
  downReason(): string | undefined;
  close(): Promise<void>;
}

export class AdapterEngine implements Engine {
  private closing: Promise<void> | undefined;

  constructor(
    /** The dtype of the weights, e.g. 'bf16'. */
    readonly dtype: string,
    private readonly host: AdapterHost,
  ) {}

  submit(job: Job, onEvent: (event: JobEvent) => void): () => void {
    const { downReason } = this;
    if (downReason === undefined) return this.host.submit(job, onEvent);
    onEvent({ type: 'error', message: downReason, isDown: true });
    return () => {};
  }

  load(): EngineLoad {
    return this.host.load();
  }

  get downReason(): string | undefined {
    return this.closing ? 'the adapter was closed' : this.host.downReason();
  }

  /** Frees the memory of the adapter. Call it when no job runs. The model stays loaded. */
  close(): Promise<void> {
    this.closing ??= this.host.close();
    return this.closing;
  }
}
