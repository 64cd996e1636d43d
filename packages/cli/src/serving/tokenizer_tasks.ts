// Encodes several texts in turns, so that none waits for long ones.

/** A text that is being encoded. */
export interface EncodeTask {
  /** Its id, for cancelling it. */
  readonly id: number;
  /** Length in characters; short texts come first. */
  readonly length: number;
  /** Encodes; the last value is the ids. */
  readonly steps: Iterator<void, number[], void>;
}

/** The result of a task: ids or an error. */
export type EncodeResult =
  | { readonly id: number; readonly ids: number[] }
  | { readonly id: number; readonly error: unknown };

export class TokenizerTasks {
  /** In order of arrival. */
  private tasks: EncodeTask[] = [];
  private turns = 0;

  get size(): number {
    return this.tasks.length;
  }

  add(task: EncodeTask): void {
    this.tasks.push(task);
  }

  /** Cancels a task. */
  cancel(id: number): void {
    this.tasks = this.tasks.filter((task) => task.id !== id);
  }

  /**
   * Continues one task until the turn is over.
   *
   * @param isOver whether the turn is over
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

  /** The shortest task; regularly the oldest, so that long texts make progress too. */
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
