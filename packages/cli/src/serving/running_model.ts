// A model in the model's thread, with its engine and prefix cache.
import type { CausalLM, Tokenizer } from '@rene-js/rene';
import { PrefixCache, PrefixFiles, rowsThatFit } from '@rene-js/rene/internal';
import { stateIdentity } from '../model_identity.js';
import { BatchEngine } from './batch_engine.js';
import type { EngineLoad, Job, JobEvent } from './job.js';
import type { FromWorker, WorkerSettings } from './worker_messages.js';

const DEFAULT_DIR_BYTES = 10 * 2 ** 30;

/** What the models of a thread share. */
interface Host {
  tokenizer: Tokenizer;
  settings: WorkerSettings;
  post(message: FromWorker): void;
}

export class RunningModel {
  private events: [number, JobEvent][] = [];

  private constructor(
    private readonly number: number,
    readonly model: CausalLM,
    private readonly engine: BatchEngine,
    private readonly post: (message: FromWorker) => void,
  ) {}

  /**
   * @param number names the model in messages
   * @param model is disposed with the returned object, or if this fails
   * @param cacheBytes size of the prefix cache
   */
  static async start(
    number: number,
    model: CausalLM,
    lora: string | undefined,
    cacheBytes: number,
    { tokenizer, settings, post }: Host,
  ): Promise<RunningModel> {
    try {
      const slots = settings.slots ?? rowsThatFit(model.config);
      const files = await prefixFiles(model, lora, settings);
      const cache = new PrefixCache(cacheBytes, files, (error) =>
        post({ type: 'notice', message: messageOf(error) }),
      );
      const engine = new BatchEngine(model, tokenizer, slots, cache);
      return new RunningModel(number, model, engine, post);
    } catch (error) {
      model.dispose();
      throw error;
    }
  }

  load(): EngineLoad {
    return this.engine.load();
  }

  /**
   * @param onEnd called once the job has ended or failed
   * @returns a function that cancels the job
   */
  submit(id: number, job: Job, onEnd: () => void): (() => void) | undefined {
    const onEvent = (event: JobEvent) => {
      if (event.type === 'end' || event.type === 'error') onEnd();
      this.tell(id, event);
    };
    try {
      return this.engine.submit(job, onEvent);
    } catch (error) {
      onEvent({ type: 'error', message: messageOf(error), isDown: false });
      return undefined;
    }
  }

  /** Ends all jobs and frees the memory. */
  async close(): Promise<void> {
    await this.engine.close();
    this.model.dispose();
  }

  /** Combines the events of a step into one message. */
  private tell(id: number, event: JobEvent): void {
    this.events.push([id, event]);
    if (this.events.length > 1) return;
    queueMicrotask(() => {
      const { number: model, events } = this;
      this.events = [];
      this.post({ type: 'events', model, events, load: this.load() });
    });
  }
}

async function prefixFiles(
  model: CausalLM,
  lora: string | undefined,
  { prefixCacheDir: root, prefixCacheDirBytes: bytes, dir }: WorkerSettings,
): Promise<PrefixFiles | undefined> {
  if (root === undefined) return undefined;
  const identity = await stateIdentity(dir, model, lora);
  return PrefixFiles.open(root, identity, model, bytes ?? DEFAULT_DIR_BYTES);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
