// The distribution of the next token: filters of logits, and sampling.
import { type EntropyFilters, keepByEntropy } from './entropy_filters.js';

/** Filters of the sampling distribution. */
export interface Filters {
  /** Divides the logits before the softmax; above 0. */
  readonly temperature: number;
  /** Keep the topK most probable tokens and ties with the last one; 0: all. */
  readonly topK: number;
  /** Keep the smallest set of tokens whose probabilities sum to topP; 0 and 1: all. */
  readonly topP: number;
  /** Keep tokens with at least minP times the top probability; 0: all. */
  readonly minP: number;
  /** Filters of a token's information. Default: none. */
  readonly entropy?: EntropyFilters | undefined;
}

/**
 * A distribution over token ids, with its working memory, so that sampling a token allocates nothing. All
 * arithmetic is in double precision.
 *
 * Top k keeps ties with the k-th token, as transformers does. Top p keeps the lowest ids of equally
 * probable tokens.
 */
export class TokenDistribution {
  /** Candidate ids, ascending: ids[0 .. size). */
  size = 0;
  readonly ids: Int32Array;
  /** For each candidate its logit after setLogits, its probability after setProbabilities. */
  readonly values: Float64Array;
  private readonly scratch: Float64Array;
  /** `values` as pairs of 32-bit halves. */
  private readonly halves: Uint32Array;
  /** Total weight of each size class. */
  private readonly masses = new Float64Array(SIZE_CLASSES);

  /** @param capacity vocabulary size */
  constructor(capacity: number) {
    this.ids = new Int32Array(capacity);
    this.values = new Float64Array(capacity);
    this.scratch = new Float64Array(capacity);
    this.halves = new Uint32Array(this.values.buffer);
  }

  /** Computes the sampling distribution: top k, temperature, top p, min p, typical p, in the original's order. */
  setProbabilities(logits: ArrayLike<number>, filters: Filters): this {
    this.setLogits(logits);
    this.keepTopK(filters.topK, true);
    this.exponentiate(filters.temperature);
    this.keepTopP(filters.topP);
    this.keepMinP(filters.minP);
    if (filters.entropy) keepByEntropy(this, filters.entropy);
    return this.normalize();
  }

  /** Takes every token with a logit above -Infinity. */
  setLogits(logits: ArrayLike<number>): this {
    let size = 0;
    for (let id = 0; id < this.ids.length; id++) {
      const logit = logits[id] ?? Number.NEGATIVE_INFINITY;
      if (logit === Number.NEGATIVE_INFINITY) continue;
      this.ids[size] = id;
      this.values[size++] = logit;
    }
    this.size = size;
    return this;
  }

  /**
   * Keeps the k largest values; all for k = 0.
   *
   * @param withTies also keep values equal to the k-th; else the lowest ids win
   */
  keepTopK(k: number, withTies = false): void {
    if (k <= 0 || k >= this.size) return;
    const cutoff = this.kthLargest(k);
    if (withTies) {
      this.keepAbove(cutoff, this.size);
      return;
    }
    let ties = k;
    for (let i = 0; i < this.size; i++) if (this.value(i) > cutoff) ties--;
    this.keepAbove(cutoff, ties);
  }

  /** Turns logits into weights: exp(logit / temperature), scaled so that the largest is 1. */
  exponentiate(temperature: number): void {
    const { values, size } = this;
    let max = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < size; i++) max = Math.max(max, this.value(i));
    for (let i = 0; i < size; i++) values[i] = Math.exp((this.value(i) - max) / temperature);
  }

  /** Drops the smallest weights whose sum is at most 1 - p. No effect for p = 0 or 1. */
  keepTopP(p: number): void {
    if (p <= 0 || p >= 1) return;
    const total = this.total();
    // With ten equal weights, 0.9 is reached by nine of them: rounding must not add the tenth.
    const limit = total - p * total + total * 1e-12;
    // Avoids a full sort: sums size classes from the smallest until the limit is passed, then sorts that
    // class only.
    this.masses.fill(0);
    for (let i = 0; i < this.size; i++) {
      const key = this.sizeClass(i);
      this.masses[key] = (this.masses[key] ?? 0) + this.value(i);
    }
    let below = 0;
    let last = this.masses.length - 1;
    while (this.masses[last] === 0) last--;
    let key = 0;
    for (; key < last && below + (this.masses[key] ?? 0) <= limit; key++) {
      below += this.masses[key] ?? 0;
    }
    let count = 0;
    for (let i = 0; i < this.size; i++) {
      if (this.sizeClass(i) === key) this.scratch[count++] = this.value(i);
    }
    const sorted = this.scratch.subarray(0, count).sort();
    let first = 0;
    for (let sum = below; first < count - 1; first++) {
      sum += sorted[first] ?? 0;
      if (sum > limit) break;
    }
    const cutoff = sorted[first] ?? 0;
    let ties = 0;
    for (let i = first; i < count && sorted[i] === cutoff; i++) ties++;
    this.keepAbove(cutoff, ties);
  }

  /** Drops weights below p times the largest one, which is 1. */
  keepMinP(p: number): void {
    if (p > 0) this.keepAbove(p, this.size);
  }

  /** Keeps values above the cutoff and, in order of id, this many of those equal to it. */
  keepAbove(cutoff: number, ties: number): void {
    let kept = 0;
    let tiesLeft = ties;
    for (let i = 0; i < this.size; i++) {
      const value = this.value(i);
      if (!(value > cutoff) && !(value === cutoff && tiesLeft-- > 0)) continue;
      this.ids[kept] = this.ids[i] ?? 0;
      this.values[kept++] = value;
    }
    this.size = kept;
  }

  /** Keeps the candidates that a test accepts, by their value and index. */
  keepIf(accepts: (value: number, i: number) => boolean): void {
    let kept = 0;
    for (let i = 0; i < this.size; i++) {
      const value = this.value(i);
      if (!accepts(value, i)) continue;
      this.ids[kept] = this.ids[i] ?? 0;
      this.values[kept++] = value;
    }
    this.size = kept;
  }

  /** Normalises weights to probabilities. */
  normalize(): this {
    const total = this.total();
    for (let i = 0; i < this.size; i++) this.values[i] = this.value(i) / total;
    return this;
  }

  /** The token at `u`, a random number in [0, 1); -1 if there is none. */
  draw(u: number): number {
    let sum = 0;
    for (let i = 0; i < this.size; i++) {
      sum += this.value(i);
      if (sum > u) return this.ids[i] ?? -1;
    }
    // Rounding left the sum just below u.
    return this.ids[this.size - 1] ?? -1;
  }

  /** The k-th largest value: by a heap for small k, else by sorting. */
  kthLargest(k: number): number {
    const { size, scratch } = this;
    if (k > size / 8) {
      scratch.set(this.values.subarray(0, size));
      return scratch.subarray(0, size).sort()[size - k] ?? 0;
    }
    const heap = scratch.subarray(0, k);
    heap.set(this.values.subarray(0, k));
    heap.sort(); // ascending is a heap with the smallest on top
    for (let i = k; i < size; i++) {
      const value = this.value(i);
      if (value > (heap[0] ?? 0)) replaceSmallest(heap, value);
    }
    return heap[0] ?? 0;
  }

  /** The upper bits of a weight in [0, 1]. They increase with the weight. */
  private sizeClass(i: number): number {
    return (this.halves[2 * i + UPPER] ?? 0) >>> CLASS_SHIFT;
  }

  private total(): number {
    let sum = 0;
    for (let i = 0; i < this.size; i++) sum += this.value(i);
    return sum;
  }

  private value(i: number): number {
    return this.values[i] ?? 0;
  }
}

/** Index of the half of a float64 with the exponent: 1 on little-endian machines. */
const UPPER = new Uint32Array(Float64Array.of(1).buffer)[1] === 0 ? 0 : 1;
/** Keeps the exponent and four bits of the fraction. */
const CLASS_SHIFT = 16;
/** One more than the class of the largest weight, 1. */
const SIZE_CLASSES = (0x3ff00000 >>> CLASS_SHIFT) + 1;

/** Replaces the top of a min-heap. */
function replaceSmallest(heap: Float64Array, value: number): void {
  let hole = 0;
  for (;;) {
    let child = 2 * hole + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && (heap[child + 1] ?? 0) < (heap[child] ?? 0)) child++;
    const smallest = heap[child] ?? 0;
    if (smallest >= value) break;
    heap[hole] = smallest;
    hole = child;
  }
  heap[hole] = value;
}

/** The id of the largest value, the lowest of equal ones; -1 if all are NaN. */
export function argmax(values: ArrayLike<number>, count = values.length): number {
  let best = -1;
  let max = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < count; id++) {
    const value = values[id] ?? Number.NaN;
    if (value > max) {
      max = value;
      best = id;
    }
  }
  return best;
}

/** Repetition penalty for earlier tokens: negative logits are multiplied by it, others divided. */
export function penalizeRepetition(
  logits: Float64Array,
  seen: ReadonlySet<number>,
  penalty: number,
): void {
  for (const id of seen) {
    const logit = logits[id];
    if (logit !== undefined) logits[id] = logit < 0 ? logit * penalty : logit / penalty;
  }
}
