// The rows that are decoded together: a state that grows and shrinks, or the places of a compiled step.
import { BackendError, type DecodeStep } from '@rene-js/layers';
import { type GenerationModel, selectRows, step } from '../generation/model_calls.js';
import { RecurrentState } from '../state.js';

export interface Batch {
  /** Adds rows, behind the others, that go on from a state of one row, which stays the caller's. */
  join(from: RecurrentState, count: number): void;
  /** Goes on with these of its rows. @returns them in the order in which it holds them from now on */
  keep(rows: readonly number[]): readonly number[];
  /** Feeds each row a token. @returns each row's logits, valid until the next call */
  logits(tokens: readonly number[]): Promise<Float32Array[]>;
  dispose(): void;
}

/** @param slots most rows */
export function makeBatch(model: GenerationModel, slots: number): Batch {
  try {
    const compiled = model.compileStep?.(slots, model.config.vocabSize);
    if (compiled) return new StepBatch(compiled);
  } catch (error) {
    // No room for the states of so many rows: they come as rows do.
    if (!(error instanceof BackendError)) throw error;
  }
  return new StateBatch(model);
}

class StateBatch implements Batch {
  /** undefined for no row. */
  private state: RecurrentState | undefined;

  constructor(private readonly model: GenerationModel) {}

  join(from: RecurrentState, count: number): void {
    const own = from.gather(Array(count).fill(0));
    const before = this.state;
    this.state = before ? RecurrentState.concat([before, own]) : own;
    if (before) for (const state of [before, own]) state.dispose();
  }

  keep(rows: readonly number[]): readonly number[] {
    if (rows.length === 0) this.dispose();
    else if (this.state) this.state = selectRows(this.state, rows);
    return rows;
  }

  async logits(tokens: readonly number[]): Promise<Float32Array[]> {
    return this.state ? step(this.model, this.state, tokens) : [];
  }

  dispose(): void {
    this.state?.dispose();
    this.state = undefined;
  }
}

/** On a backend that compiles steps nothing is copied when a row leaves, and the step stays. */
class StepBatch implements Batch {
  constructor(private readonly step: DecodeStep) {}

  join(from: RecurrentState, count: number): void {
    for (let i = 0; i < count; i++) this.step.join(from.layers, 0, from.positions[0] ?? 0);
  }

  keep(rows: readonly number[]): readonly number[] {
    const kept = new Set(rows);
    const held = Array.from({ length: this.step.rows }, (_, i) => i);
    // From the last place on, so that the row that takes a free place is one that stays.
    for (let place = held.length - 1; place >= 0; place--) {
      if (kept.has(held[place] ?? -1)) continue;
      this.step.leave(place);
      const last = held.pop();
      if (place < held.length && last !== undefined) held[place] = last;
    }
    return held;
  }

  logits(tokens: readonly number[]): Promise<Float32Array[]> {
    return this.step.logits(tokens);
  }

  dispose(): void {
    this.step.dispose();
  }
}
