// The states of a batch: rows of a compiled step, or of a state that forward advances.
import type { DecodeStep, SamplingParams } from '@rene-js/layers/internal';
import { RecurrentState } from '../state.js';
import { forwardLogits, type GenerationModel } from './generation_model.js';
import { greedyParams } from './sampler.js';

/** A sequence's next token, sampled on the device, or the logits to sample it from. */
export type NextToken = number | Float32Array;

/** The states of a batch, one row per member. */
export interface Rows {
  join(state: RecurrentState, count: number): void;
  /** @returns the rows that stay, in their new order */
  keep(rows: readonly number[]): readonly number[];
  /** @returns the indices of `parents` in the order of the new rows */
  branch(parents: readonly number[]): readonly number[];
  /** Feeds each row a token. @returns each row's logits */
  logits(tokens: readonly number[]): Promise<readonly Float32Array[]>;
  /** Feeds each row a token and samples where there are parameters. Absent if the backend cannot sample. */
  sample?(
    tokens: readonly number[],
    params: readonly (SamplingParams | undefined)[],
    ahead?: readonly SamplingParams[],
  ): Promise<readonly NextToken[]>;
  /** Feeds a row some tokens, the first ones if these are too many. @returns the logits after each */
  verify(row: number, tokens: readonly number[]): Promise<readonly Float32Array[]>;
  /** After verify(): advances the row's state by the first `count` of its tokens. */
  accept(count: number): void;
  stateOf(row: number): RecurrentState;
  dispose(): void;
}

/** A forward pass over some tokens, after which the state returns to one of them. */
class MarkedPass {
  constructor(
    readonly row: number,
    readonly state: RecurrentState,
  ) {}

  async logits(model: GenerationModel, tokens: readonly number[]): Promise<Float32Array[]> {
    const { state } = this;
    const fed = tokens.slice(0, state.mark());
    return forwardLogits(model, [fed], { state, logitsToKeep: fed.length });
  }
}

/** Rows of a state that forward advances. */
export class ForwardRows implements Rows {
  private state: RecurrentState | undefined;
  /**
   * Rows that joined since the last step. They are concatenated in the next step, so that each is copied
   * once.
   */
  private joined: RecurrentState[] = [];
  private pass: MarkedPass | undefined;

  constructor(
    private readonly model: GenerationModel,
    state: RecurrentState,
    count: number,
  ) {
    this.join(state, count);
  }

  join(state: RecurrentState, count: number): void {
    this.joined.push(state.gather(Array(count).fill(0)));
  }

  keep(rows: readonly number[]): readonly number[] {
    if (rows.length === 0) this.dispose();
    else this.replace(this.whole().gather(rows));
    return rows;
  }

  branch(parents: readonly number[]): readonly number[] {
    this.keep(parents);
    return parents.map((_, i) => i);
  }

  async logits(tokens: readonly number[]): Promise<readonly Float32Array[]> {
    const ids = tokens.map((id) => [id]);
    return forwardLogits(this.model, ids, { state: this.whole(), logitsToKeep: 1 });
  }

  verify(row: number, tokens: readonly number[]): Promise<readonly Float32Array[]> {
    const whole = this.whole();
    this.pass = new MarkedPass(row, whole.batch === 1 ? whole : whole.gather([row]));
    return this.pass.logits(this.model, tokens);
  }

  accept(count: number): void {
    const { pass, state: whole } = this;
    this.pass = undefined;
    if (!pass || !whole) return;
    const { row, state } = pass;
    state.rewind(count);
    if (state === whole) return;
    const rows = Array.from({ length: whole.batch }, (_, i) => i);
    const [before, after] = [rows.slice(0, row), rows.slice(row + 1)].map((some) =>
      some.length > 0 ? [whole.gather(some)] : [],
    );
    const parts = [...(before ?? []), state, ...(after ?? [])];
    this.replace(RecurrentState.concat(parts));
    for (const part of parts) part.dispose();
  }

  stateOf(row: number): RecurrentState {
    return this.whole().gather([row]);
  }

  dispose(): void {
    if (this.pass?.state !== this.state) this.pass?.state.dispose();
    this.pass = undefined;
    for (const state of this.joined) state.dispose();
    this.joined = [];
    this.state?.dispose();
    this.state = undefined;
  }

  private whole(): RecurrentState {
    if (this.joined.length > 0) {
      const parts = [...(this.state ? [this.state] : []), ...this.joined];
      const [only] = parts;
      if (only && parts.length === 1) {
        this.state = only;
        this.joined = [];
      } else this.replace(RecurrentState.concat(parts));
    }
    if (!this.state) throw new Error('the batch holds no state');
    return this.state;
  }

  private replace(state: RecurrentState): void {
    this.dispose();
    this.state = state;
  }
}

/** Slots of a compiled step. A slot is not copied when another sequence joins or leaves. */
export class StepRows implements Rows {
  sample?: Rows['sample'];
  /** Of a backend that does not compile passes over several tokens. */
  private pass: MarkedPass | undefined;

  /** @param first knows its model even after it was disposed */
  constructor(
    private readonly model: GenerationModel,
    private readonly step: DecodeStep,
    private readonly first: RecurrentState,
    count: number,
  ) {
    this.join(first, count);
    const { sample, logitsOf } = step;
    if (!sample || !logitsOf) return;
    this.sample = async (tokens, params, ahead) => {
      const known = params.map((own) => own ?? greedyParams);
      const ids = await sample.call(step, tokens, known, ahead);
      const next: NextToken[] = [];
      for (const [row, own] of params.entries()) {
        next.push(own ? (ids[row] ?? -1) : await logitsOf.call(step, row));
      }
      return next;
    };
  }

  join(state: RecurrentState, count: number): void {
    const [position = 0] = state.positions;
    for (let i = 0; i < count; i++) this.step.join(state.layers, 0, position);
  }

  keep(rows: readonly number[]): readonly number[] {
    const kept = new Set(rows);
    const held = Array.from({ length: this.step.rows }, (_, row) => row);
    // From the last slot, so that the row that moves to a free slot is one that stays.
    for (let slot = held.length - 1; slot >= 0; slot--) {
      if (kept.has(held[slot] ?? -1)) continue;
      this.step.leave(slot);
      const last = held.pop();
      if (slot < held.length && last !== undefined) held[slot] = last;
    }
    return held;
  }

  branch(parents: readonly number[]): readonly number[] {
    const rows = this.keep([...new Set(parents)]);
    const order = rows.map((row) => parents.indexOf(row));
    for (const [i, parent] of parents.entries()) {
      if (order.includes(i)) continue;
      const state = this.stateOf(rows.indexOf(parent));
      try {
        this.join(state, 1);
      } finally {
        state.dispose();
      }
      order.push(i);
    }
    return order;
  }

  logits(tokens: readonly number[]): Promise<readonly Float32Array[]> {
    return this.step.logits(tokens);
  }

  async verify(row: number, tokens: readonly number[]): Promise<readonly Float32Array[]> {
    if (this.step.verify) return this.step.verify(row, tokens);
    this.pass = new MarkedPass(row, this.stateOf(row));
    return this.pass.logits(this.model, tokens);
  }

  accept(count: number): void {
    const { pass } = this;
    if (!pass) {
      this.step.accept?.(count);
      return;
    }
    const { row, state } = pass;
    state.rewind(count);
    this.step.replace(row, state.layers, state.positions[0] ?? 0);
    this.forgetPass();
  }

  stateOf(row: number): RecurrentState {
    return this.first.with(this.step.statesOf(row), [this.step.positions[row] ?? 0]);
  }

  dispose(): void {
    this.forgetPass();
    this.step.dispose();
  }

  private forgetPass(): void {
    this.pass?.state.dispose();
    this.pass = undefined;
  }
}
