// Compiled decode steps on `simd`: the jobs are recorded once for each batch size and replayed. Between
// input token and logits the threads do not wait for JavaScript.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import { FrameTurns, isPageThread } from '../../event_loop.js';
import type { DecodeStep, StepModel } from '../../step.js';
import { NativeDecodeStep } from '../native/decode_step.js';
import { type StepPlan, stepPlan } from '../native/step_plan.js';
import { asSimd, type SimdBackend } from './backend.js';
import type { DraftPasses } from './draft_passes.js';
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
  private drafts: DraftPasses | undefined;
  /** The row and number of tokens of the pass over drafts that is not yet accepted. */
  private verified: { row: number; tokens: number } | undefined;
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
    await this.replay(recording);
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

  async verify(row: number, tokens: readonly number[]): Promise<Float32Array[]> {
    const position = this.positions[row];
    if (position === undefined || tokens.length === 0) {
      const found = `${tokens.length} tokens in row ${row}`;
      throw new BackendError(`verify: expected tokens in a row below ${this.rows}, found ${found}`);
    }
    this.drafts ??= await this.draftPasses();
    this.reserve(position + tokens.length);
    await this.replay(this.drafts.prepare(row, tokens, position));
    this.verified = { row, tokens: tokens.length };
    return this.drafts.logits(tokens.length);
  }

  accept(count: number): void {
    const { row = 0, tokens = 0 } = this.verified ?? {};
    if (!(count >= 0 && count <= tokens)) {
      throw new BackendError(`accept: expected up to ${tokens} tokens, found ${count}`);
    }
    if (this.drafts && count > 0) this.ops.runtime.replay(this.drafts.updates(row, count));
    this.positions[row] = (this.positions[row] ?? 0) + count;
    this.verified = undefined;
  }

  kernels(): number {
    return this.recording(this.rows).count;
  }

  override dispose(): void {
    this.drafts?.dispose();
    super.dispose();
    this.ops.blocks.release(this.temporaries);
  }

  protected override forgetRecordings(): void {
    for (const { address } of this.recordings.values()) this.ops.blocks.release(address);
    this.recordings.clear();
    this.drafts?.forget();
  }

  /** Loaded when it is needed: few generations have drafts. */
  private async draftPasses(): Promise<DraftPasses> {
    const { DraftPasses } = await import('./draft_passes.js');
    return new DraftPasses(this.ops, this.plan, this.states);
  }

  /** On a page's own thread a few jobs at a time, so that it draws its frames meanwhile. */
  private async replay(recording: RecordedJobs): Promise<void> {
    if (!isPageThread()) {
      this.ops.runtime.replay(recording);
      return;
    }
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
