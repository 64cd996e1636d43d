// The probabilities of the next token, from logits: cut to the likeliest tokens, then drawn from.

/** Narrows logits to the tokens that sampling may choose. */
export interface Filters {
  /** The softmax is taken of logits / temperature; above 0. */
  readonly temperature: number;
  /** Only the topK most probable tokens, and those as probable as the last of them; 0 for all. */
  readonly topK: number;
  /** Only the fewest tokens whose probabilities add up to topP; off at 0 and at 1. */
  readonly topP: number;
  /** Only tokens at least minP times as likely as the likeliest; 0 for all. */
  readonly minP: number;
}

/**
 * A distribution over token ids and the memory to compute it in, so that a generation makes one and
 * a token allocates nothing. All arithmetic is in double precision.
 *
 * Top k keeps all tokens that are as probable as the k-th, as transformers does. Of equally probable
 * tokens of which top p keeps some, the lowest ids stay.
 */
export class TokenDistribution {
  /** Tokens that can be drawn; their ids, ascending, are ids[0 .. size). */
  size = 0;
  readonly ids: Int32Array;
  /** By place in `ids`: logits after setLogits, probabilities after setProbabilities. */
  readonly values: Float64Array;
  private readonly scratch: Float64Array;
  /** The upper and lower halves of `values`. */
  private readonly halves: Uint32Array;
  /** The sum of the weights of each size class. */
  private readonly masses = new Float64Array(SIZE_CLASSES);

  /** @param capacity the vocabulary's size */
  constructor(capacity: number) {
    this.ids = new Int32Array(capacity);
    this.values = new Float64Array(capacity);
    this.scratch = new Float64Array(capacity);
    this.halves = new Uint32Array(this.values.buffer);
  }

  /** Becomes what sampling draws from: top k, temperature, top p, min p, in the original's order. */
  setProbabilities(logits: ArrayLike<number>, filters: Filters): this {
    this.setLogits(logits);
    this.keepTopK(filters.topK, true);
    this.exponentiate(filters.temperature);
    this.keepTopP(filters.topP);
    this.keepMinP(filters.minP);
    return this.normalize();
  }

  /** Every token with a logit above -Infinity. */
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
   * @param withTies keeps all that equal the k-th; else the lowest ids of them
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

  /** Logits to weights: exp(logit / temperature), scaled so that the largest is 1. */
  exponentiate(temperature: number): void {
    const { values, size } = this;
    let max = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < size; i++) max = Math.max(max, this.value(i));
    for (let i = 0; i < size; i++) values[i] = Math.exp((this.value(i) - max) / temperature);
  }

  /** Drops the smallest weights while they add up to no more than 1 - p; nothing for p = 0 or 1. */
  keepTopP(p: number): void {
    if (p <= 0 || p >= 1) return;
    const limit = (1 - p) * this.total();
    // Without sorting all of them: masses by size class, smallest first, until the limit is passed;
    // then only the class in which that happens is sorted.
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

  /** Drops weights below p times the largest, which exponentiate has made 1. */
  keepMinP(p: number): void {
    if (p > 0) this.keepAbove(p, this.size);
  }

  /** Keeps the values above the cutoff and, in order of id, so many of those equal to it. */
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

  /** Weights to probabilities. */
  normalize(): this {
    const total = this.total();
    for (let i = 0; i < this.size; i++) this.values[i] = this.value(i) / total;
    return this;
  }

  /** The token at `u`, a random number in [0, 1); -1 where there is none to draw. */
  draw(u: number): number {
    let sum = 0;
    for (let i = 0; i < this.size; i++) {
      sum += this.value(i);
      if (sum > u) return this.ids[i] ?? -1;
    }
    // Rounding left the sum just under u.
    return this.ids[this.size - 1] ?? -1;
  }

  /** The k-th largest value: through a heap of the k largest, or by sorting where k is large. */
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

  /** The upper bits of a weight in [0, 1], which grow with it. */
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

/** Which half of a number holds its exponent: the second on little-endian machines. */
const UPPER = new Uint32Array(Float64Array.of(1).buffer)[1] === 0 ? 0 : 1;
/** Leaves of the upper half the exponent and four bits of the fraction. */
const CLASS_SHIFT = 16;
/** One more than the class of 1, the largest weight. */
const SIZE_CLASSES = (0x3ff00000 >>> CLASS_SHIFT) + 1;

/** Puts a value in place of a min-heap's top. */
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

/** The id of the largest value, the lowest where several are equal; -1 where none is a number. */
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

/** Makes tokens less likely (penalty > 1) that have come before: negative logits x it, others / it. */
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
