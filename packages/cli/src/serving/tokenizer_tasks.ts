// Texts that are encoded in turns, so that none waits for long ones.

/** A text in the making. */
export interface EncodeTask {
  /** Its number, by which it is cancelled. */
  readonly id: number;
  /** In characters; short texts come first. */
  readonly length: number;
  /** Encodes; its last value is the ids. */
  readonly steps: Iterator<void, number[], void>;
}

/** What has become of a task: its ids, or the error that it ended in. */
export type EncodeResult =
  | { readonly id: number; readonly ids: number[] }
  | { readonly id: number; readonly error: unknown };

export class TokenizerTasks {
  /** In the order in which they came. */
  private tasks: EncodeTask[] = [];
  private turns = 0;

  get size(): number {
    return this.tasks.length;
  }

  add(task: EncodeTask): void {
    this.tasks.push(task);
  }

  /** Drops a task; nothing comes of it. */
  cancel(id: number): void {
    this.tasks = this.tasks.filter((task) => task.id !== id);
  }

  /**
   * Goes on with one task until the time is up.
   *
   * @param isOver whether the turn ends
   * @returns the result if the task has ended
   */
  turn(isOver: () => boolean): EncodeResult | undefined {
    const task = this.next();
    if (!task) return undefined;
    const { id, steps } = task;
    try {
      do {
        const step = steps.next();
        if (!step.done) continue;
        this.cancel(id);
        return { id, ids: step.value };
      } while (!isOver());
      return undefined;
    } catch (error) {
      this.cancel(id);
      return { id, error };
    }
  }

  /** The shortest; every few turns the oldest, so that a long text gets on as well. */
  private next(): EncodeTask | undefined {
    const [oldest] = this.tasks;
    if (++this.turns % TURNS === 0) return oldest;
    return this.tasks.reduce(
      (shortest, task) => (shortest && shortest.length <= task.length ? shortest : task),
      oldest,
    );
  }
}

const TURNS = 4;
