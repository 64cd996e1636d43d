// Decides how many tokens to draft, from the measured time of passes and from what was accepted.

/** The share of the time that drafts without success may cost. */
const MAXIMUM_LOSS = 0.03;
/** Weight of a new measurement in the averages. */
const RATE = 0.2;
/** A time above this many averages is taken as this: now and then something else has the processor. */
const OUTLIER = 2;
/** Assumed probability that a drafted token is right, until it is known. */
const ASSUMED_ACCEPTANCE = 0.7;
/** Weight of that assumption for each token without a draft, so that drafts are tried again. */
const RECOVERY = 0.02;
/** Lengths whose time is not known are assumed to take this share of a token's time for each drafted token. */
const ASSUMED_COST = 0.4;

/** Lengths of drafts: few, since a backend prepares a pass for each; with the last token, rows of whole tiles. */
const LENGTHS: readonly number[] = [1, 2, 3, 5, 7, 11, 15, 23, 31];

/**
 * The schedule of one sequence. Times affect only how much is drafted: the tokens are the same with any
 * draft.
 */
export class DraftSchedule {
  /** Milliseconds of a token without a draft. */
  private plain: number | undefined;
  /** Milliseconds of a pass with so many drafted tokens. */
  private readonly passes = new Map<number, number>();
  /** By kind of draft: the probability that a drafted token is right. */
  private readonly acceptance = new Map<number, number>();
  /** Milliseconds gained by drafts, or lost if negative. */
  private balance = 0;
  private total = 0;
  private readonly lengths: readonly number[];

  /** @param most maximum number of drafted tokens */
  constructor(most: number) {
    this.lengths = [...LENGTHS.filter((length) => length < most), most];
  }

  /** The number of tokens to draft now; 0 for none. @param kind of the draft */
  lengthFor(kind: number): number {
    const { plain, lengths } = this;
    // The first token is decoded without a draft, to know its time.
    if (plain === undefined) return 0;
    if (-this.balance > MAXIMUM_LOSS * this.total) return 0;
    const acceptance = this.acceptance.get(kind) ?? ASSUMED_ACCEPTANCE;
    let [best, fastest] = [0, 1 / plain];
    // A drafted token counts if all before it are right.
    let [tokens, right, drafted] = [1, 1, 0];
    for (const length of lengths) {
      for (; drafted < length; drafted++) {
        right *= acceptance;
        tokens += right;
      }
      const speed = tokens / this.timeOf(length, plain);
      if (speed > fastest) [best, fastest] = [length, speed];
    }
    return best;
  }

  /** Records a token without a draft. */
  decoded(milliseconds: number): void {
    this.plain = average(this.plain, milliseconds);
    for (const [kind, acceptance] of this.acceptance) {
      this.acceptance.set(kind, acceptance + RECOVERY * (ASSUMED_ACCEPTANCE - acceptance));
    }
    this.total += milliseconds;
  }

  /**
   * Records a pass.
   *
   * @param kind of the draft
   * @param accepted how many of the drafted tokens were right
   */
  verified(kind: number, drafted: number, accepted: number, milliseconds: number): void {
    const { plain = milliseconds } = this;
    const known = this.passes.get(drafted);
    // The first pass of a length is prepared as well.
    const first = this.timeOf(drafted, plain);
    this.passes.set(drafted, average(known ?? first, milliseconds));
    let acceptance = this.acceptance.get(kind) ?? ASSUMED_ACCEPTANCE;
    const tried = Math.min(drafted, accepted + 1);
    for (let i = 0; i < tried; i++) acceptance += RATE * ((i < accepted ? 1 : 0) - acceptance);
    this.acceptance.set(kind, acceptance);
    // A long run of right drafts is no reason for long losses afterwards.
    this.balance = Math.min(this.balance + (accepted + 1) * plain - milliseconds, 2 * plain);
    this.total += milliseconds;
  }

  /** From the nearest length that was measured. */
  private timeOf(length: number, plain: number): number {
    const known = this.passes.get(length);
    if (known !== undefined) return known;
    let [nearest, time] = [0, plain];
    for (const [other, milliseconds] of this.passes) {
      if (Math.abs(other - length) >= Math.abs(nearest - length)) continue;
      [nearest, time] = [other, milliseconds];
    }
    return time + (length - nearest) * ASSUMED_COST * plain;
  }
}

function average(before: number | undefined, now: number): number {
  if (before === undefined) return now;
  return before + RATE * (Math.min(now, OUTLIER * before) - before);
}
