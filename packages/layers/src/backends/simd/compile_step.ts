// Compiled decode steps on `simd`: the jobs are recorded once for each batch size and replayed. Between
// input token and logits the threads do not wait for JavaScript.
import * as tf from '@tensorflow/tfjs-core';
import { FrameTurns, isPageThread } from '../../event_loop.js';
import type { DecodeStep, StepModel } from '../../step.js';
import { NativeDecodeStep } from '../native/decode_step.js';
import { type StepPlan, stepPlan } from '../native/step_plan.js';
import { asSimd, type SimdBackend } from './backend.js';
import type { SimdOps } from './ops.js';
import { chooseReadStrategy } from './read_strategy.js';
import { piecesOf, type RecordedJobs } from './recorded_jobs.js';

export function compileSimdStep(model: StepModel, batch: number): DecodeStep {
  const backend = asSimd(tf.backend());
  return new SimdDecodeStep(backend, stepPlan(backend, model), batch);
}

class SimdDecodeStep extends NativeDecodeStep<SimdOps> implements DecodeStep {
  /** Temporaries of the largest batch. Only one recording runs at a time. */
  private readonly temporaries: number;
  /** By batch size. */
  private readonly recordings = new Map<number, RecordedJobs>();
  /** A recording for one sequence that was not yet used to time the read strategies. */
  private untimed: RecordedJobs | undefined;

  constructor(backend: SimdBackend, plan: StepPlan, batch: number) {
    super(backend, plan, batch);
    const { runtime } = this.ops;
    try {
      this.temporaries = runtime.allocate(runtime.rehearse(() => this.launch(batch)));
    } catch (error) {
      super.dispose();
      throw error;
    }
  }

  async logits(tokens: readonly number[]): Promise<Float32Array[]> {
    this.prepare(tokens);
    const { rows, buffers } = this;
    const { runtime } = this.ops;
    runtime.ints(buffers.tokens, rows).set(tokens);
    runtime.ints(buffers.positions, rows).set(this.positions);
    const recording = this.recording(rows);
    if (isPageThread()) await this.replayInTurns(recording);
    else runtime.replay(recording);
    // The timing would block a page.
    if (recording === this.untimed && !isPageThread()) {
      this.untimed = undefined;
      chooseReadStrategy(runtime, recording);
    }
    this.advance();
    const { vocabulary } = this.plan;
    return tokens.map((_, row) =>
      runtime.floats(buffers.logits + row * vocabulary * 4, vocabulary),
    );
  }

  kernels(): number {
    return this.recording(this.rows).count;
  }

  override dispose(): void {
    super.dispose();
    this.ops.blocks.release(this.temporaries);
  }

  protected override forgetRecordings(): void {
    for (const { address } of this.recordings.values()) this.ops.blocks.release(address);
    this.recordings.clear();
  }

  /** Runs a few jobs at a time, so that a page draws its frames meanwhile. */
  private async replayInTurns(recording: RecordedJobs): Promise<void> {
    const turns = new FrameTurns();
    for (const piece of piecesOf(recording)) {
      this.ops.runtime.replay(piece);
      await turns.pass();
    }
  }

  private recording(rows: number): RecordedJobs {
    const known = this.recordings.get(rows);
    if (known) return known;
    const { runtime } = this.ops;
    const recorded = runtime.record(() => this.launch(rows), this.temporaries);
    this.recordings.set(rows, recorded);
    if (rows === 1 && runtime.readStrategy === undefined) this.untimed = recorded;
    return recorded;
  }
}
