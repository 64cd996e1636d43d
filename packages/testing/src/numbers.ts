// Float64 arithmetic on plain arrays, for the reference model. No tfjs.

export type Numbers = ArrayLike<number>;

/** Element i. Throws for an index out of range, which is a mistake in the reference. */
export function at(values: Numbers, i: number): number {
  const value = values[i];
  if (value === undefined) throw new RangeError(`index ${i} of ${values.length} numbers`);
  return value;
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

export function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** weight x + bias, with weight row-major (outputs, inputs). */
export function linear(x: Numbers, weight: Float64Array, bias?: Numbers): number[] {
  const inputs = Float64Array.from(x);
  if (weight.length % inputs.length !== 0) throw new RangeError('a weight of another width');
  return range(weight.length / inputs.length).map((row) => {
    const weights = weight.subarray(row * inputs.length);
    let y = bias ? at(bias, row) : 0;
    for (let i = 0; i < inputs.length; i++) y += (weights[i] ?? 0) * (inputs[i] ?? 0);
    return y;
  });
}

/** RMS norm of x in groups of channels, times weight. */
export function rmsNorm(x: number[], weight: Numbers, eps: number, groupSize = x.length): number[] {
  const inverses = range(x.length / groupSize).map((group) => {
    const values = x.slice(group * groupSize, (group + 1) * groupSize);
    return 1 / Math.sqrt(sum(values.map((value) => value ** 2)) / groupSize + eps);
  });
  return x.map((value, i) => value * at(inverses, Math.floor(i / groupSize)) * at(weight, i));
}

export function layerNorm(x: Numbers, weight: Numbers, bias: Numbers, eps: number): number[] {
  const channels = range(x.length);
  const mean = sum(channels.map((i) => at(x, i))) / x.length;
  const variance = sum(channels.map((i) => (at(x, i) - mean) ** 2)) / x.length;
  return channels.map(
    (i) => ((at(x, i) - mean) / Math.sqrt(variance + eps)) * at(weight, i) + at(bias, i),
  );
}

export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

/** Exact GELU: x/2 (1 + erf(x / sqrt 2)). */
export function gelu(x: number): number {
  return (x / 2) * (1 + erf(x / Math.SQRT2));
}

/** Above 20 the identity, as in PyTorch. */
export function softplus(x: number): number {
  return x > 20 ? x : Math.log1p(Math.exp(x));
}

/** 2/sqrt(pi) exp(-x^2) times the sum of 2^n x^(2n+1) / (2n+1)!!, whose terms have the same sign. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let total = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(total); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    total += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}

export function softmax(scores: readonly number[]): number[] {
  const largest = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - largest));
  const total = sum(weights);
  return weights.map((weight) => weight / total);
}

export function argmax(values: readonly number[]): number {
  return values.reduce((best, value, i) => (value > at(values, best) ? i : best), 0);
}
