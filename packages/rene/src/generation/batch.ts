// Batched decoding: sequences join, decode, leave and hand out their states. Everything that decodes
// goes through here: generate, stream, beam search and the server.
import { BackendError } from '@rene-js/layers';
import type { DecodeStep, SamplingParams } from '@rene-js/layers/internal';
import type { RecurrentState } from '../state.js';
import { ForwardRows, type NextToken, type Rows, StepRows } from './batch_rows.js';
import type { GenerationModel } from './generation_model.js';

export type { NextToken };

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
   * Feeds a member its last token and the tokens of a draft. Its state stays as it is until accept().
   *
   * @returns the logits after each of these tokens, valid until the next call; of fewer tokens if one pass
   *   cannot take all of them
   */
  async verify(member: Member, draft: readonly number[]): Promise<readonly Float32Array[]> {
    const row = this.held.indexOf(member);
    if (!this.rows || row < 0) throw new Error('this sequence is not in the batch');
    return this.rows.verify(row, [lastToken(member), ...draft]);
  }

  /** After verify(), before anything else: advances the state by the first `count` of its tokens. */
  accept(count: number): void {
    this.rows?.accept(count);
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
      if (step) return new StepRows(model, step, state, count);
    } catch (error) {
      step?.dispose();
      // A step reserves memory for its capacity; forward uses only as much as the present rows need.
      if (!(error instanceof BackendError)) throw error;
    }
    return new ForwardRows(model, state, count);
  }
}

function lastToken({ ids }: BatchMember): number {
  return ids.at(-1) ?? 0;
}
