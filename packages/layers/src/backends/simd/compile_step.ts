// compileStep: a decode step's jobs recorded, for each number of rows, and replayed: between the token
// that goes in and the logits that come out the threads never wait for JavaScript.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import type { LayerState } from '../../layers/layer.js';
import type { DecodeStep, StepModel } from '../../step.js';
import { asSimd, type SimdBackend } from './backend.js';
import { chooseReading } from './reading.js';
import type { RecordedJobs } from './recorded_jobs.js';
import { launchStep, type StepBuffers } from './step_launches.js';
import { type StepPlan, stepPlan } from './step_plan.js';
import { StepStates } from './step_states.js';

export function compileSimdStep(model: StepModel, batch: number): DecodeStep {
  const backend = asSimd(tf.backend());
  return new SimdDecodeStep(backend, stepPlan(backend, model), batch);
}

class SimdDecodeStep implements DecodeStep {
  private readonly states: StepStates;
  private readonly buffers: StepBuffers;
  /** Temporaries of any number of rows: jobs of one recording run at a time. */
  private readonly temporaries: number;
  private readonly allocated: number[] = [];
  /** By rows. */
  private readonly recordings = new Map<number, RecordedJobs>();
  /** A recording of one row, until it has run and told how weights are best read. */
  private untimed: RecordedJobs | undefined;
  private positions: number[] = [];

  constructor(
    private readonly backend: SimdBackend,
    private readonly plan: StepPlan,
    readonly batch: number,
  ) {
    const { runtime } = backend;
    const allocate = (bytes: number) => {
      const address = runtime.allocate(bytes);
      this.allocated.push(address);
      return address;
    };
    let states: StepStates | undefined;
    try {
      states = new StepStates(backend, plan, batch);
      this.states = states;
      this.buffers = {
        tokens: allocate(batch * 4),
        positions: allocate(batch * 4),
        hidden: allocate(batch * plan.dModel * 4),
        normed: allocate(batch * plan.dModel * 4),
        logits: allocate(batch * plan.vocabulary * 4),
      };
      this.temporaries = allocate(runtime.rehearse(() => this.launch(batch)));
    } catch (error) {
      states?.dispose();
      for (const address of this.allocated) runtime.release(address);
      throw error;
    }
  }

  get rows(): number {
    return this.positions.length;
  }

  join(states: readonly (LayerState | null)[], row: number, position: number): void {
    if (this.rows === this.batch) {
      throw new BackendError(`this step was compiled for ${this.batch} rows, and holds them`);
    }
    this.reserve(position + 1);
    this.states.write(this.rows, states, row);
    this.positions.push(position);
  }

  leave(row: number): void {
    const last = this.rows - 1;
    if (row > last) throw new BackendError(`this step holds ${this.rows} rows, no row ${row}`);
    if (row < last) this.states.move(last, row);
    this.positions[row] = this.positions[last] ?? 0;
    this.positions.pop();
  }

  statesOf(row: number): (LayerState | null)[] {
    return this.states.read(row, this.positions[row] ?? 0);
  }

  async logits(tokens: readonly number[]): Promise<Float32Array[]> {
    const { rows, buffers } = this;
    if (tokens.length !== rows || rows === 0) {
      throw new BackendError(`tokens: expected ${rows || 'some'}, found ${tokens.length}`);
    }
    this.reserve(Math.max(...this.positions) + 1);
    const { runtime } = this.backend;
    runtime.ints(buffers.tokens, rows).set(tokens);
    runtime.ints(buffers.positions, rows).set(this.positions);
    const recording = this.recording(rows);
    runtime.replay(recording);
    if (recording === this.untimed) {
      this.untimed = undefined;
      chooseReading(runtime, recording);
    }
    this.positions = this.positions.map((position) => position + 1);
    const { vocabulary } = this.plan;
    return this.positions.map((_, row) =>
      runtime.floats(buffers.logits + row * vocabulary * 4, vocabulary),
    );
  }

  kernels(): number {
    return this.recording(this.rows).count;
  }

  dispose(): void {
    this.forgetRecordings();
    this.states.dispose();
    for (const address of this.allocated) this.backend.runtime.release(address);
  }

  private recording(rows: number): RecordedJobs {
    const known = this.recordings.get(rows);
    if (known) return known;
    const recorded = this.backend.runtime.record(() => this.launch(rows), this.temporaries);
    this.recordings.set(rows, recorded);
    if (rows === 1 && this.backend.runtime.reading === undefined) this.untimed = recorded;
    return recorded;
  }

  private launch(rows: number): void {
    launchStep(this.backend, this.plan, this.states, this.buffers, rows);
  }

  /** Room in the rings for so many tokens, up to the window; recorded jobs know the old ones. */
  private reserve(tokens: number): void {
    if (!this.states.needsMore(tokens)) return;
    this.forgetRecordings();
    this.states.grow(tokens, this.rows);
  }

  private forgetRecordings(): void {
    for (const { address } of this.recordings.values()) this.backend.runtime.release(address);
    this.recordings.clear();
  }
}
