// A reference sampler: double precision and sorting.
import type { SamplingParams } from '../../src/internal.js';

/** The kept ids, ascending, and their weights. */
export function distribution(
  logits: Float32Array,
  choice: SamplingParams,
): { id: number; weight: number }[] {
  const { temperature, topK, topP, minP } = choice;
  const byLogit = [...logits.keys()]
    .filter((id) => (logits[id] ?? 0) > Number.NEGATIVE_INFINITY)
    .sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b);
  const top = logits[byLogit[0] ?? 0] ?? 0;
  const last = byLogit[topK - 1];
  const least = last === undefined ? Number.NEGATIVE_INFINITY : (logits[last] ?? 0);
  // Ties with the k-th value are kept.
  const likeliest = byLogit.filter((id) => (logits[id] ?? 0) >= least);
  let kept = likeliest.map((id) => ({
    id,
    weight: Math.exp(((logits[id] ?? 0) - top) / temperature),
  }));
  if (topP > 0 && topP < 1) {
    const total = kept.reduce((sum, { weight }) => sum + weight, 0);
    let sum = 0;
    kept = kept.filter(({ weight }) => {
      const before = sum;
      sum += weight;
      return before < (topP - 1e-12) * total;
    });
  }
  return kept.filter(({ weight }) => weight >= minP).sort((a, b) => a.id - b.id);
}

/** The ids that `random` may select: the one at its position, and its neighbours within rounding. */
export function candidates(kept: { id: number; weight: number }[], random: number): number[] {
  const total = kept.reduce((sum, { weight }) => sum + weight, 0);
  let sum = 0;
  return kept.flatMap(({ id, weight }) => {
    const from = sum / total;
    sum += weight;
    return random >= from - 2e-6 && random < sum / total + 2e-6 ? [id] : [];
  });
}
