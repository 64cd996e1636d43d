// Batched decoding: sequences join, decode, leave and hand out their states. Everything that decodes
// goes through here: generate, stream, beam search and the server.
import { BackendError } from '@rene-js/layers';
import type { DecodeStep, SamplingParams } from '@rene-js/layers/internal';
import { RecurrentState } from '../state.js';
import { forwardLogits, type GenerationModel } from './generation_model.js';
import { greedyParams } from './sampler.js';

/** A sequence as the batch sees it. */
export interface BatchMember {
  /** Prompt and new tokens. The state covers all but the last one. */
  readonly ids: readonly number[];
  /**
   * Parameters for a backend that samples on its device. Draws the sequence's next random number.
   * undefined where sampling needs the logits on the host.
   */
  samplingParams?(): SamplingParams | undefined;
}

/** A sequence's next token, sampled on the device, or the logits to sample it from. */
export type NextToken = number | Float32Array;

/** The sequences that are decoded together. */
export class Batch<Member extends BatchMember = BatchMember> {
  private rows: Rows | undefined;
  private held: readonly Member[] = [];
  /** Parameters that were drawn for a step ahead. */
  private readonly drawn = new Map<Member, SamplingParams>();

  /**
   * @param capacity maximum number of members
   * @param vocabSize a backend that samples never samples ids from here on. Default: the config's.
   */
  constructor(
    private readonly model: GenerationModel,
    private readonly capacity: number,
    private readonly vocabSize = model.config.vocabSize,
  ) {}

  /** Whether a step runs ahead: until the next call of next() no sequence can join. */
  get isAhead(): boolean {
    return this.held.some((member) => this.drawn.has(member));
  }

  /** Its members. Their order changes when a member leaves. */
  get members(): readonly Member[] {
    return this.held;
  }

  /**
   * Adds sequences that continue the same prompt.
   *
   * @param state of one sequence; it is copied and not disposed
   */
  join(state: RecurrentState, members: readonly Member[]): void {
    if (members.length === 0) return;
    if (this.rows) this.rows.join(state, members.length);
    else this.rows = this.start(state, members.length);
    this.held = [...this.held, ...members];
  }

  /** Removes every member for which `stays` returns false. */
  keep(stays: (member: Member) => boolean): void {
    const kept = this.held.flatMap((member, row) => (stays(member) ? [row] : []));
    if (kept.length === this.held.length) return;
    const order = this.rows?.keep(kept) ?? [];
    this.held = order.flatMap((row) => this.held[row] ?? []);
  }

  /**
   * Replaces all members, as beam search does.
   *
   * @param parents the member whose state each new member continues; a member may be the parent of none or
   *   several
   * @param members the new members; the batch may reorder them
   */
  branch(parents: readonly Member[], members: readonly Member[]): void {
    const order = this.rows?.branch(parents.map((parent) => this.held.indexOf(parent))) ?? [];
    this.held = order.flatMap((i) => members[i] ?? []);
  }

  /** Feeds each member its last token. @returns each member's logits, valid until the next call */
  async logits(): Promise<readonly Float32Array[]> {
    return this.rows ? this.rows.logits(this.held.map(lastToken)) : [];
  }

  /**
   * Feeds each member its last token.
   *
   * @param ahead whether every member will want another token after this one, unless it leaves. A backend
   *   may then start the next step before it has read this one's tokens: see isAhead. Default: false.
   * @returns for each member, in the order of `members`: its next token if the backend sampled it (-1 if no
   *   token can be sampled), else its logits, valid until the next call
   */
  async next(ahead = false): Promise<readonly NextToken[]> {
    const { rows, held, drawn } = this;
    if (!rows?.sample) return this.logits();
    const params = held.map((member) => drawn.get(member) ?? member.samplingParams?.());
    drawn.clear();
    if (params.every((own) => own === undefined)) return this.logits();
    // Logits on the host are needed before the next token.
    const isSampled = ahead && params.every((own) => own !== undefined);
    const after = isSampled ? held.flatMap((member) => member.samplingParams?.() ?? []) : undefined;
    for (const [i, own] of (after ?? []).entries()) {
      const member = held[i];
      if (member) drawn.set(member, own);
    }
    return rows.sample(held.map(lastToken), params, after);
  }

  /**
   * A copy of a member's state, with batch size 1: after all but its last token, or after all of them if a step
   * runs ahead. Its position says which. The caller disposes it.
   */
  stateOf(member: Member): RecurrentState {
    const row = this.held.indexOf(member);
    if (!this.rows || row < 0) throw new Error('this sequence is not in the batch');
    return this.rows.stateOf(row);
  }

  /** Frees the states. The batch is then empty and can be used again. */
  dispose(): void {
    this.rows?.dispose();
    this.rows = undefined;
    this.held = [];
    this.drawn.clear();
  }

  /** Rows of a compiled step if the backend has one that is large enough, else rows of forward. */
  private start(state: RecurrentState, count: number): Rows {
    const { model, capacity, vocabSize } = this;
    let step: DecodeStep | undefined;
    try {
      step = model.compileStep?.(capacity, vocabSize);
      if (step) return new StepRows(step, state, count);
    } catch (error) {
      step?.dispose();
      // A step reserves memory for its capacity; forward uses only as much as the present rows need.
      if (!(error instanceof BackendError)) throw error;
    }
    return new ForwardRows(model, state, count);
  }
}

/** The states of a batch, one row per member. */
interface Rows {
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
  stateOf(row: number): RecurrentState;
  dispose(): void;
}

/** Rows of a state that forward advances. */
class ForwardRows implements Rows {
  private state: RecurrentState | undefined;
  /**
   * Rows that joined since the last step. They are concatenated in the next step, so that each is copied
   * once.
   */
  private joined: RecurrentState[] = [];

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

  stateOf(row: number): RecurrentState {
    return this.whole().gather([row]);
  }

  dispose(): void {
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
class StepRows implements Rows {
  sample?: Rows['sample'];

  /** @param first knows its model even after it was disposed */
  constructor(
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

  stateOf(row: number): RecurrentState {
    return this.first.with(this.step.statesOf(row), [this.step.positions[row] ?? 0]);
  }

  dispose(): void {
    this.step.dispose();
  }
}

function lastToken({ ids }: BatchMember): number {
  return ids.at(-1) ?? 0;
}
