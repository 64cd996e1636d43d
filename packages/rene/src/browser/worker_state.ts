// The state of a model in a worker: a handle, the state itself stays there.
import { GenerationError } from '../errors.js';
import type { WireState } from './messages.js';
import type { WorkerClient } from './worker_client.js';

/** A recurrent state in a worker. `generate(more, { state })` continues it, any number of times. */
export class WorkerState {
  /** Tokens seen by each row. */
  readonly positions: readonly number[];
  private disposed = false;

  /** @internal */
  constructor(
    /** @internal */
    readonly client: WorkerClient,
    private readonly wire: WireState,
  ) {
    this.positions = wire.positions;
  }

  /** Batch size. */
  get batch(): number {
    return this.positions.length;
  }

  /** @internal @throws GenerationError if it was disposed */
  get id(): number {
    if (this.disposed) throw new GenerationError('this state was disposed');
    return this.wire.id;
  }

  /** An independent copy. */
  clone(): Promise<WorkerState> {
    return this.gather(this.positions.map((_, row) => row));
  }

  /** A new state with these rows, in this order. A row may occur several times. */
  async gather(rows: readonly number[]): Promise<WorkerState> {
    const stateId = this.id;
    const state = await this.client.call<WireState>({ method: 'gatherState', stateId, rows });
    return new WorkerState(this.client, state);
  }

  /** Frees its memory. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    // Where the worker has ended, the state has ended with it.
    this.client.call({ method: 'disposeState', stateId: this.wire.id }).catch(() => {});
  }
}
