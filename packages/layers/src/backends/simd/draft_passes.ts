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

/** A recorded pass over a number of tokens of a sequence. */
interface Pass {
  readonly jobs: RecordedJobs;
  readonly deferred: DeferredUpdates;
  /** Recorded updates of the states, by the number of tokens that count. */
  readonly updates: Map<number, RecordedJobs>;
}

/** Recordings of more passes than this are freed: with many sequences there are many. */
const MOST_PASSES = 128;

export class DraftPasses {
  private memory: Temporaries;
  private buffers: StepBuffers | undefined;
  /** Number of tokens for which there is memory. */
  private capacity = 0;
  private temporaries: Address = 0;
  /** What the updates read. */
  private kept: Address = 0;
  private readonly passes = new Map<string, Pass>();
  private last: Pass | undefined;

  constructor(
    private readonly ops: SimdOps,
    private readonly plan: StepPlan,
    private readonly states: StepStates,
  ) {
    this.memory = new Temporaries(ops.blocks);
  }

  /** @returns the jobs of a pass, ready to be run; logits() has their results */
  prepare(row: number, tokens: readonly number[], position: number): RecordedJobs {
    if (tokens.length > this.capacity) this.reserve(tokens.length);
    const buffers = this.present();
    const { runtime } = this.ops;
    runtime.ints(buffers.tokens, tokens.length).set(tokens);
    runtime.ints(buffers.positions, 1)[0] = position;
    this.last = this.pass(row, tokens.length);
    return this.last.jobs;
  }

  /** Each token's logits, valid until the next pass. */
  logits(tokens: number): Float32Array[] {
    const { vocabulary } = this.plan;
    const { logits } = this.present();
    return Array.from({ length: tokens }, (_, i) =>
      this.ops.runtime.floats(logits + i * vocabulary * 4, vocabulary),
    );
  }

  /** The jobs that advance the states by the first tokens of the last pass. */
  updates(tokens: number): RecordedJobs {
    const { last } = this;
    if (!last) throw new BackendError('accept: expected a pass before it, found none');
    const known = last.updates.get(tokens);
    if (known) return known;
    const jobs = this.ops.runtime.record(() => last.deferred.make(tokens), this.temporaries);
    last.updates.set(tokens, jobs);
    return jobs;
  }

  /** Frees the recordings, whose addresses are no longer valid. */
  forget(): void {
    for (const { jobs, updates } of this.passes.values()) {
      for (const { address } of [jobs, ...updates.values()]) this.ops.blocks.release(address);
    }
    this.passes.clear();
    this.last = undefined;
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
      const deferred = new DeferredUpdates(0);
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

  private pass(row: number, tokens: number): Pass {
    const key = `${row} ${tokens}`;
    const known = this.passes.get(key);
    if (known) return known;
    if (this.passes.size === MOST_PASSES) this.forget();
    const deferred = new DeferredUpdates(this.kept);
    const launch = () => this.launch(this.present(), row, tokens, deferred);
    const jobs = this.ops.runtime.record(launch, this.temporaries);
    const pass = { jobs, deferred, updates: new Map() };
    this.passes.set(key, pass);
    return pass;
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
