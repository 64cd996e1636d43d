// Filters by the entropy of the distribution, or by a fixed probability, as transformers defines them.

/** Applied in this order, after top k, temperature, top p and min p. */
export interface EntropyFilters {
  /**
   * Locally typical sampling: keep the tokens whose information is closest to the entropy, until their
   * probabilities sum to typicalP; 1: all.
   */
  readonly typicalP: number;
  /** Keep tokens with at least this probability, and the most probable one; 0: all. */
  readonly epsilonCutoff: number;
  /**
   * Keep tokens with at least the smaller of etaCutoff and sqrt(etaCutoff) * exp(-entropy), and the most
   * probable one; 0: all.
   */
  readonly etaCutoff: number;
}

/** Candidates and their weights, which are proportional to probabilities. */
interface Weights {
  readonly size: number;
  readonly values: Float64Array;
  keepAbove(cutoff: number, ties: number): void;
  keepIf(accepts: (value: number, i: number) => boolean): void;
}

/** Drops candidates. */
export function keepByEntropy(
  weights: Weights,
  { typicalP, epsilonCutoff, etaCutoff }: EntropyFilters,
): void {
  if (typicalP < 1) keepTypical(weights, typicalP);
  if (epsilonCutoff > 0) keepFrom(weights, epsilonCutoff);
  if (etaCutoff > 0) {
    const { entropy } = informationOf(weights);
    keepFrom(weights, Math.min(etaCutoff, Math.sqrt(etaCutoff) * Math.exp(-entropy)));
  }
}

function keepTypical(weights: Weights, mass: number): void {
  const { entropy, total, information } = informationOf(weights);
  const distances = information.map((value) => Math.abs(value - entropy));
  const order = Uint32Array.from(distances.keys()).sort((a, b) => {
    return (distances[a] ?? 0) - (distances[b] ?? 0);
  });
  let farthest = 0;
  let sum = 0;
  for (const i of order) {
    farthest = distances[i] ?? 0;
    sum += weights.values[i] ?? 0;
    if (sum >= mass * total) break;
  }
  weights.keepIf((_, i) => (distances[i] ?? 0) <= farthest);
}

/** Keeps tokens with at least this probability, and the most probable ones. */
function keepFrom(weights: Weights, probability: number): void {
  const { total, largest } = informationOf(weights);
  weights.keepAbove(Math.min(probability * total, largest), weights.size);
}

/** The entropy in nats, and the information -log(p) of each token. */
function informationOf({ values, size }: Weights) {
  let total = 0;
  let largest = 0;
  for (let i = 0; i < size; i++) {
    total += values[i] ?? 0;
    largest = Math.max(largest, values[i] ?? 0);
  }
  const information = new Float64Array(size);
  let entropy = 0;
  for (let i = 0; i < size; i++) {
    const probability = (values[i] ?? 0) / total;
    if (probability === 0) information[i] = Number.POSITIVE_INFINITY;
    else {
      information[i] = -Math.log(probability);
      entropy += probability * (information[i] ?? 0);
    }
  }
  return { total, largest, information, entropy };
}
