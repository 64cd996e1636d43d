// Models besides the main one: loaded when a request names them, within a bound of memory.
import type { Tokenizer } from '@rene-js/rene';
import type { Engine, EngineLoad } from './job.js';
import type { PromptEncoder } from './tokenizer_thread.js';

/** A model that answers requests. */
export interface ServedModel {
  engine: Engine;
  tokenizer: Tokenizer;
  encoder?: PromptEncoder | undefined;
  chatTemplate?: string | undefined;
  modelName: string;
  vocabSize: number;
}

/** A model that can be loaded. */
export interface PooledModel {
  name: string;
  /** Memory that it takes, about. */
  bytes: number;
  load(): Promise<ServedModel & { close(): Promise<void> }>;
}

interface Loaded {
  readonly entry: PooledModel;
  readonly model: ReturnType<PooledModel['load']>;
  /** Once it is loaded. */
  engine?: Engine;
  /** Requests in progress. */
  users: number;
}

export class ModelPool {
  private readonly entries: ReadonlyMap<string, PooledModel>;
  /** Least recently used first. */
  private readonly loaded = new Map<string, Loaded>();
  /** Loads one model after the other, so that each finds its room. */
  private turn: Promise<unknown> = Promise.resolve();
  private waiting = 0;
  private onRelease: () => void = () => {};

  /** @param maxBytes memory of all loaded models; those used least recently are dropped */
  constructor(
    entries: readonly PooledModel[],
    private readonly maxBytes: number,
  ) {
    this.entries = new Map(entries.map((entry) => [entry.name, entry]));
  }

  get names(): readonly string[] {
    return [...this.entries.keys()];
  }

  has(name: string): boolean {
    return this.entries.has(name);
  }

  /** The load of a server's engine and of the loaded models together. */
  loadWith(main: EngineLoad): EngineLoad {
    const engines = [...this.loaded.values()].flatMap(({ engine }) => (engine ? [engine] : []));
    return engines
      .map((engine) => engine.load())
      .reduce(
        (sum, { active, waiting, slots, cacheBytes = 0 }) => ({
          active: sum.active + active,
          waiting: sum.waiting + waiting,
          slots: sum.slots + slots,
          cacheBytes: (sum.cacheBytes ?? 0) + cacheBytes,
        }),
        main,
      );
  }

  /** Runs a function with a model, which stays loaded meanwhile. */
  async use<T>(name: string, run: (model: ServedModel) => Promise<T>): Promise<T> {
    // While a model waits for memory, requests for other models wait too. Otherwise it could wait forever.
    const hit = this.waiting === 0 ? this.take(name) : undefined;
    const loaded = hit ?? (await this.load(name));
    try {
      const model = await loaded.model;
      if (model.engine.downReason !== undefined) this.loaded.delete(name); // next time anew
      return await run(model);
    } finally {
      loaded.users--;
      this.onRelease();
    }
  }

  async close(): Promise<void> {
    const all = [...this.loaded.values()];
    this.loaded.clear();
    await Promise.all(all.map(({ model }) => model.then((m) => m.close()).catch(() => {})));
  }

  private take(name: string): Loaded | undefined {
    const found = this.loaded.get(name);
    if (!found) return undefined;
    found.users++;
    this.loaded.delete(name);
    this.loaded.set(name, found); // used most recently
    return found;
  }

  private load(name: string): Promise<Loaded> {
    this.waiting++;
    const load = async () => {
      try {
        const hit = this.take(name);
        if (hit) return hit;
        const entry = this.entries.get(name);
        if (!entry) throw new Error(`there is no model '${name}' in the pool`);
        await this.makeRoom(entry.bytes);
        const loaded: Loaded = { entry, model: entry.load(), users: 1 };
        this.loaded.set(name, loaded);
        loaded.model.then(
          ({ engine }) => {
            loaded.engine = engine;
          },
          () => this.loaded.delete(name),
        );
        await loaded.model.catch(() => {}); // the next one starts after it
        return loaded;
      } finally {
        this.waiting--;
      }
    };
    const result = this.turn.then(load);
    this.turn = result.catch(() => {});
    return result;
  }

  private async makeRoom(bytes: number): Promise<void> {
    for (;;) {
      const all = [...this.loaded.values()];
      const used = all.reduce((sum, { entry }) => sum + entry.bytes, 0);
      if (used + bytes <= this.maxBytes || all.length === 0) return;
      const idle = all.find(({ users }) => users === 0);
      if (idle) {
        this.loaded.delete(idle.entry.name);
        await idle.model.then((model) => model.close()).catch(() => {});
      } else {
        await new Promise<void>((resolve) => {
          this.onRelease = resolve;
        });
      }
    }
  }
}
