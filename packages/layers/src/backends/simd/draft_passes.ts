// Compiled passes over several tokens of one sequence, most of them drafts, on `simd`. The pass leaves the
// states as they are. Once it is known how many of its tokens count, their recurrences alone are replayed.
import { BackendError } from '../../errors.js';
import type { Address } from '../native/address.js';
import { DeferredUpdates } from '../native/deferred_updates.js';
import { Temporaries } from '../native/memory.js';
import { type StepBuffers, stepBuffers } from '../native/step_buffers.js';
import { launchStep } from '../native/step_launches.js';
import type { StepPlan } from '../native/step_plan.js';
import type { StepStates } from '../native/step_states.js';
import type { SimdOps } from './ops.js';
import type { RecordedJobs } from './recorded_jobs.js';

/** More recordings than this are freed: with many sequences there are many. */
const MOST_RECORDINGS = 256;

export class DraftPasses {
  private memory: Temporaries;
  private buffers: StepBuffers | undefined;
  /** Number of tokens for which there is memory. */
  private capacity = 0;
  private temporaries: Address = 0;
  /** What the updates read. */
  private kept: Address = 0;
  /** Passes and updates of states, by row and number of tokens. */
  private readonly recordings = new Map<string, RecordedJobs>();
  /** By row: the updates of its passes, which are the same for all lengths. */
  private readonly deferred = new Map<number, DeferredUpdates>();

  constructor(
    private readonly ops: SimdOps,
    private readonly plan: StepPlan,
    private readonly states: StepStates,
  ) {
    this.memory = new Temporaries(ops.blocks);
  }

  /** @returns the jobs of a pass, ready to be run; logits() has their results */
  prepare(row: number, tokens: readonly number[], position: number): RecordedJobs {
    if (tokens.length > this.capacity) this.reserve(Math.ceil(tokens.length / 8) * 8);
    const buffers = this.present();
    const { runtime } = this.ops;
    runtime.ints(buffers.tokens, tokens.length).set(tokens);
    runtime.ints(buffers.positions, 1)[0] = position;
    const { length } = tokens;
    return this.recording(`${row} fed ${length}`, () => {
      const deferred = new DeferredUpdates(this.kept, length, this.capacity);
      this.launch(buffers, row, length, deferred);
      this.deferred.set(row, deferred);
    });
  }

  /** Each token's logits, valid until the next pass. */
  logits(tokens: number): Float32Array[] {
    const { vocabulary } = this.plan;
    const { logits } = this.present();
    return Array.from({ length: tokens }, (_, i) =>
      this.ops.runtime.floats(logits + i * vocabulary * 4, vocabulary),
    );
  }

  /** The jobs that advance a row's states by the first tokens of its last pass. */
  updates(row: number, tokens: number): RecordedJobs {
    const deferred = this.deferred.get(row);
    if (!deferred) throw new BackendError('accept: expected a pass before it, found none');
    return this.recording(`${row} kept ${tokens}`, () => deferred.make(tokens));
  }

  /** Frees the recordings, whose addresses are no longer valid. */
  forget(): void {
    for (const { address } of this.recordings.values()) this.ops.blocks.release(address);
    this.recordings.clear();
    this.deferred.clear();
  }

  dispose(): void {
    this.forget();
    this.memory.release();
    this.buffers = undefined;
    this.capacity = 0;
  }

  private present(): StepBuffers {
    if (!this.buffers) throw new BackendError('a pass was disposed');
    return this.buffers;
  }

  /** Makes room for passes of up to `tokens` tokens. */
  private reserve(tokens: number): void {
    this.dispose();
    const { ops, memory, plan } = this;
    try {
      const buffers = stepBuffers(ops, memory, plan, tokens);
      const deferred = new DeferredUpdates(0, tokens, tokens);
      const launch = () => this.launch(buffers, 0, tokens, deferred);
      this.temporaries = memory.allocate(ops.runtime.rehearse(launch));
      this.kept = memory.allocate(deferred.bytes);
      this.buffers = buffers;
      this.capacity = tokens;
    } catch (error) {
      memory.release();
      throw error;
    }
  }

  private recording(key: string, work: () => void): RecordedJobs {
    const known = this.recordings.get(key);
    if (known) return known;
    if (this.recordings.size === MOST_RECORDINGS) this.forget();
    const jobs = this.ops.runtime.record(work, this.temporaries);
    this.recordings.set(key, jobs);
    return jobs;
  }

  private launch(
    buffers: StepBuffers,
    row: number,
    length: number,
    deferred: DeferredUpdates,
  ): void {
    launchStep(this.ops, this.plan, this.states, buffers, { row, batch: 1, length, deferred });
  }
}
