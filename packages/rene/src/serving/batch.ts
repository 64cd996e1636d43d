// The rows that are decoded together: a state that grows and shrinks, or the places of a compiled step.
import { BackendError, type Choice, type DecodeStep } from '@rene-js/layers';
import { greedyChoice } from '../generation/choose.js';
import { type GenerationModel, selectRows, step } from '../generation/model_calls.js';
import { RecurrentState } from '../state.js';

export interface Batch {
  /** Adds rows, behind the others, that go on from a state of one row, which stays the caller's. */
  join(from: RecurrentState, count: number): void;
  /** Goes on with these of its rows. @returns them in the order in which it holds them from now on */
  keep(rows: readonly number[]): readonly number[];
  /**
   * Feeds each row a token.
   *
   * @param choices how a row's next token may be chosen without its logits; undefined where these are
   *   needed
   * @returns of each row the next token, or its logits, valid until the next call; -1 where there is
   *   no token to choose
   */
  next(
    tokens: readonly number[],
    choices: readonly (Choice | undefined)[],
  ): Promise<readonly (number | Float32Array)[]>;
  /** Whether next() makes use of choices. */
  readonly chooses: boolean;
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
  readonly chooses = false;
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

  async next(tokens: readonly number[]): Promise<readonly Float32Array[]> {
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

  get chooses(): boolean {
    return this.step.choose !== undefined && this.step.logitsOf !== undefined;
  }

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

  async next(
    tokens: readonly number[],
    choices: readonly (Choice | undefined)[],
  ): Promise<readonly (number | Float32Array)[]> {
    const { step } = this;
    const isAsked = choices.some((choice) => choice !== undefined);
    if (!isAsked || !step.choose || !step.logitsOf) return step.logits(tokens);
    const ids = await step.choose(
      tokens,
      choices.map((choice) => choice ?? greedyChoice),
    );
    return choices.map((choice, row) => (choice ? ids[row] : step.logitsOf?.(row)) ?? -1);
  }

  dispose(): void {
    this.step.dispose();
  }
}
