// Parameters, named as in sampling.json. Defaults: the originals'.
import { InvalidArgumentError } from '@rene-js/layers';
import { argmax, penalizeRepetition, TokenDistribution } from './token_distribution.js';

/** Parameters as sampling.json spells them; absent ones are the originals' defaults. */
export interface ReferenceSamplingParams {
  top_k?: number;
  top_p?: number;
  min_p?: number;
  temperature?: number;
  repetition_penalty?: number;
  min_tokens_to_keep?: number;
  /** Of the 'mlx' functions: 'min_p', 'top_p' or 'categorical'. */
  kind?: string;
}

/** Its min_p is a share of the first token's logit, if that is between 0 and 1, and top_p has no effect. */
export function samplingProbabilities(
  api: string,
  logits: ArrayLike<number>,
  previous: readonly number[] = [],
  params: ReferenceSamplingParams = {},
): Float64Array {
  const values = Float64Array.from(logits);
  const distribution = new TokenDistribution(values.length);
  if (api === 'mamba') mamba(distribution, values, previous, params);
  else if (api === 'mamba_filter') mambaFilter(distribution, values, params);
  else if (api === 'mlx') mlx(distribution, values, params);
  else throw new InvalidArgumentError('api', "'mamba', 'mamba_filter' or 'mlx'", `'${api}'`);
  distribution.normalize();
  const probabilities = new Float64Array(values.length);
  for (let i = 0; i < distribution.size; i++) {
    probabilities[distribution.ids[i] ?? 0] = distribution.values[i] ?? 0;
  }
  return probabilities;
}

function mamba(
  distribution: TokenDistribution,
  logits: Float64Array,
  previous: readonly number[],
  params: ReferenceSamplingParams,
): void {
  const { top_k = 1, top_p = 0, min_p = 0, temperature = 1, repetition_penalty = 1 } = params;
  penalizeRepetition(logits, new Set(previous), repetition_penalty);
  if (top_k === 1) {
    const best = argmax(logits);
    logits.fill(Number.NEGATIVE_INFINITY, 0, best).fill(Number.NEGATIVE_INFINITY, best + 1);
  }
  distribution.setLogits(logits);
  distribution.keepTopK(top_k);
  if (top_k === 0 && min_p > 0) {
    // This one keeps ties with the k-th.
    const least = (logits[0] ?? 0) * min_p;
    if (least > 0 && least < 1) distribution.keepAbove(least, logits.length);
    distribution.exponentiate(temperature);
  } else {
    distribution.exponentiate(temperature);
    distribution.keepTopP(top_p);
  }
}

function mambaFilter(
  distribution: TokenDistribution,
  logits: Float64Array,
  { top_k = 0, top_p = 0 }: ReferenceSamplingParams,
): void {
  distribution.setLogits(logits);
  // This one keeps all that equal the k-th.
  if (top_k > 0) distribution.keepAbove(distribution.kthLargest(top_k), logits.length);
  distribution.exponentiate(1);
  distribution.keepTopP(top_p);
}

function mlx(
  distribution: TokenDistribution,
  logits: Float64Array,
  params: ReferenceSamplingParams,
): void {
  const { kind, top_p = 0, min_p = 0, temperature = 1, min_tokens_to_keep = 1 } = params;
  distribution.setLogits(logits);
  distribution.exponentiate(temperature);
  if (kind === 'top_p') distribution.keepTopP(top_p);
  if (kind === 'min_p') {
    const least = distribution.kthLargest(Math.min(min_tokens_to_keep, logits.length));
    distribution.keepAbove(Math.min(min_p, least), logits.length);
  }
}
