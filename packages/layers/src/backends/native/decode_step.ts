// The base of compiled decode steps: sequences, their states and buffers. A backend adds the recording.
import { BackendError } from '../../errors.js';
import type { LayerState } from '../../layers/layer.js';
import type { Address } from './address.js';
import type { NativeTensors } from './kernel.js';
import { Temporaries } from './memory.js';
import type { NativeOps } from './ops.js';
import { launchStep, type StepBuffers } from './step_launches.js';
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
      this.buffers = {
        tokens: this.memory.allocate(batch * 4),
        positions: this.memory.allocate(batch * 4),
        hidden: this.memory.allocate(batch * plan.dModel * 4),
        normed: plan.blocks.some(({ isParallel }) => isParallel)
          ? this.memory.allocate(batch * plan.dModel * 4)
          : 0,
        factors: this.factorRows(),
        logits: this.memory.allocate(batch * plan.vocabulary * 4),
      };
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
    launchStep(this.ops, this.plan, this.states, this.buffers, rows);
  }

  /** A row of each number other than 1 that multiplies the embedding or the residual stream. */
  private factorRows(): ReadonlyMap<number, Address> {
    const { embeddingScale, blocks, dModel } = this.plan;
    const factors = new Set([embeddingScale, ...blocks.map(({ streamFactor }) => streamFactor)]);
    factors.delete(1);
    return new Map(
      [...factors].map((factor) => {
        const row = new Float32Array(dModel).fill(factor);
        const address = this.memory.allocate(row.byteLength);
        this.ops.upload(address, new Uint8Array(row.buffer));
        return [factor, address];
      }),
    );
  }

  /** Grows each KV cache to this many tokens, up to its window. */
  private reserve(tokens: number): void {
    if (!this.states.needsMore(tokens)) return;
    this.forgetRecordings();
    this.states.grow(tokens, this.rows);
  }
}
