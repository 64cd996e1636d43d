// The base of compiled decode steps: sequences, their states and buffers. A backend adds the recording.
import { BackendError } from '../../errors.js';
import type { LayerState } from '../../layers/layer.js';
import type { NativeTensors } from './kernel.js';
import { Temporaries } from './memory.js';
import type { NativeOps } from './ops.js';
import { type StepBuffers, stepBuffers } from './step_buffers.js';
import { launchStep } from './step_launches.js';
import type { StepPlan } from './step_plan.js';
import { StepStates } from './step_states.js';

export abstract class NativeDecodeStep<Ops extends NativeOps> {
  protected readonly ops: Ops;
  protected readonly states: StepStates;
  protected readonly buffers: StepBuffers;
  /** Tokens that each sequence has seen. */
  positions: number[] = [];
  private readonly memory: Temporaries;

  constructor(
    tensors: NativeTensors<Ops>,
    protected readonly plan: StepPlan,
    readonly batch: number,
  ) {
    this.ops = tensors.ops;
    this.memory = new Temporaries(this.ops.blocks);
    try {
      this.buffers = stepBuffers(this.ops, this.memory, plan, batch);
      this.states = new StepStates(tensors, plan, batch);
    } catch (error) {
      this.memory.release();
      throw error;
    }
  }

  get rows(): number {
    return this.positions.length;
  }

  join(states: readonly (LayerState | null)[], row: number, position: number): void {
    if (this.rows === this.batch) {
      throw new BackendError(`this step is full: its batch size is ${this.batch}`);
    }
    this.reserve(position + 1);
    this.states.write(this.rows, states, row);
    this.positions.push(position);
    this.onRowsChanged();
  }

  leave(row: number): void {
    const last = this.rows - 1;
    if (row > last) throw new BackendError(`row: expected one below ${this.rows}, found ${row}`);
    if (row < last) this.states.move(last, row);
    this.positions[row] = this.positions[last] ?? 0;
    this.positions.pop();
    this.onRowsChanged();
  }

  statesOf(row: number): (LayerState | null)[] {
    return this.states.read(row, this.positions[row] ?? 0);
  }

  replace(row: number, states: readonly (LayerState | null)[], position: number): void {
    if (row >= this.rows)
      throw new BackendError(`row: expected one below ${this.rows}, found ${row}`);
    this.reserve(position + 1);
    this.states.write(row, states, 0);
    this.positions[row] = position;
    this.onRowsChanged();
  }

  dispose(): void {
    this.forgetRecordings();
    this.states.dispose();
    this.memory.release();
  }

  /** Frees the recording, whose addresses are no longer valid. */
  protected abstract forgetRecordings(): void;

  /** Called after a sequence has joined or left. */
  protected onRowsChanged(): void {}

  /** Makes room for one more token in each sequence. @throws BackendError unless each gets one */
  protected prepare(tokens: readonly number[]): void {
    if (tokens.length !== this.rows || tokens.length === 0) {
      throw new BackendError(
        `tokens: expected ${this.rows || 'some, after a join'}, found ${tokens.length}`,
      );
    }
    this.reserve(Math.max(...this.positions) + 1);
  }

  /** Counts the token that was fed to each sequence. */
  protected advance(): void {
    this.positions = this.positions.map((position) => position + 1);
  }

  protected launch(rows: number): void {
    launchStep(this.ops, this.plan, this.states, this.buffers, { row: 0, batch: rows, length: 1 });
  }

  /** Grows each KV cache to this many tokens, up to its window. */
  protected reserve(tokens: number): void {
    if (!this.states.needsMore(tokens)) return;
    this.forgetRecordings();
    this.states.grow(tokens, this.rows);
  }
}
