// The sampler: a sequence's next token from its logits.
import { InvalidArgumentError } from '@rene-js/layers';
import type { SamplingParams } from '@rene-js/layers/internal';
import { describe } from '../describe.js';
import { GenerationError } from '../errors.js';
import type { GenerationConfig } from './resolve_options.js';
import { argmax, penalizeRepetition, TokenDistribution } from './token_distribution.js';

/** A token's log-probability under the model: no temperature, filter or penalty. */
export interface TokenLogProb {
  readonly id: number;
  /** Natural logarithm of its probability among the ids below vocabSize. */
  readonly logProb: number;
  /** The top tokens, most probable first; the token itself may be among them. */
  readonly top: readonly { readonly id: number; readonly logProb: number }[];
}

/** A sequence as the sampler sees it. */
export interface SampledSequence {
  readonly promptLength: number;
  /** Prompt and new tokens. */
  readonly ids: readonly number[];
  /** The tokens of `ids`, once each. */
  readonly seen: ReadonlySet<number>;
  /** The next random number in [0, 1). */
  readonly random: () => number;
}

/** Working memory, which all samplers of one vocabulary size can share. */
export class SamplerBuffers {
  readonly scores: Float64Array;
  readonly distribution: TokenDistribution;

  constructor(vocabSize: number) {
    this.scores = new Float64Array(vocabSize);
    this.distribution = new TokenDistribution(vocabSize);
  }
}

/** Parameters of greedy decoding. */
export const greedyParams: SamplingParams = {
  random: 0,
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
};

/** Samples tokens for all sequences of one generation. */
export class Sampler {
  private readonly scores: Float64Array;
  private readonly distribution: TokenDistribution;
  /** Whether no option changes the logits before temperature and filters. */
  readonly plain: boolean;

  constructor(
    private readonly config: GenerationConfig,
    { scores, distribution } = new SamplerBuffers(config.vocabSize),
  ) {
    const { repetitionPenalty, logitBias, badWordsIds, minNewTokens } = config;
    this.scores = scores;
    this.distribution = distribution;
    this.plain =
      repetitionPenalty === 1 &&
      config.noRepeatNgramSize === 0 &&
      config.logitsProcessors.length + logitBias.length + badWordsIds.length === 0 &&
      minNewTokens === 0;
  }

  /**
   * @param logits after the sequence's last token, at least vocabSize of them
   * @throws GenerationError if no token can be sampled
   */
  sample(logits: Float32Array, sequence: SampledSequence): number {
    const { filters, vocabSize } = this.config;
    let scores: Float32Array | Float64Array = logits;
    if (!this.plain) {
      this.scores.set(logits.subarray(0, vocabSize));
      scores = this.process(this.scores, sequence);
    }
    const id = filters
      ? this.distribution.setProbabilities(scores, filters).draw(sequence.random())
      : argmax(scores, vocabSize);
    // One NaN logit makes every probability NaN.
    if (id >= 0 && !(filters && Number.isNaN(this.distribution.values[0]))) return id;
    throw noTokenError(logits, sequence.ids.length);
  }

  /**
   * Parameters for a backend that samples on its device. Draws the sequence's next random number.
   *
   * @returns undefined if the logits are needed: for penalties, biases, entropy filters, log-probabilities
   */
  params(sequence: Pick<SampledSequence, 'random'>): SamplingParams | undefined {
    const { filters, logProbs } = this.config;
    if (!this.plain || logProbs !== undefined || filters?.entropy) return undefined;
    return filters ? { ...filters, random: sequence.random() } : greedyParams;
  }

  /** Applies penalties, biases and processors to the scores, in place and in the order of transformers. */
  process(scores: Float64Array, sequence: Omit<SampledSequence, 'random'>): Float64Array {
    const { config } = this;
    const { ids, promptLength, seen } = sequence;
    for (const [id, bias] of config.logitBias) scores[id] = (scores[id] ?? 0) + bias;
    if (config.repetitionPenalty !== 1) {
      penalizeRepetition(scores, seen, config.repetitionPenalty);
    }
    if (config.noRepeatNgramSize > 0) ruleOutRepeats(scores, ids, config.noRepeatNgramSize);
    for (const word of config.badWordsIds) {
      if (completes(ids, word)) scores[word.at(-1) ?? -1] = Number.NEGATIVE_INFINITY;
    }
    if (ids.length - promptLength < config.minNewTokens) {
      for (const id of config.eosTokenIds) {
        if (id < scores.length) scores[id] = Number.NEGATIVE_INFINITY;
      }
    }
    for (const processor of config.logitsProcessors) runProcessor(processor, scores, ids);
    return scores;
  }

  /**
   * The log-probability of a token.
   *
   * @param top number of top tokens to list
   */
  logProb(logits: Float32Array, id: number, top: number): TokenLogProb {
    const { distribution, config } = this;
    const own = logits.subarray(0, config.vocabSize);
    const logSum = logSumExp(own);
    distribution.setLogits(own);
    if (top > 0) distribution.keepTopK(top);
    else distribution.size = 0;
    const topTokens = [...distribution.ids.subarray(0, distribution.size)]
      .map((other) => ({ id: other, logProb: (own[other] ?? 0) - logSum }))
      .sort((a, b) => b.logProb - a.logProb || a.id - b.id);
    return { id, logProb: (own[id] ?? 0) - logSum, top: topTokens };
  }
}

/** The error for logits from which no token can be sampled. */
export function noTokenError(logits: Float32Array, length: number): GenerationError {
  return new GenerationError(
    logits.some(Number.isNaN)
      ? `the model's logits are not numbers after ${length} tokens; ` +
          'its weights are damaged, or overflow in this dtype'
      : 'no token can be sampled: logitBias, badWordsIds or a logitsProcessor excludes all of them',
  );
}

/** log(sum(exp(logits))) */
export function logSumExp(logits: Float32Array): number {
  let max = Number.NEGATIVE_INFINITY;
  for (const logit of logits) max = Math.max(max, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - max);
  return max + Math.log(sum);
}

/** Excludes tokens that would repeat an n-gram. */
function ruleOutRepeats(scores: Float64Array, sequence: readonly number[], n: number): void {
  const last = sequence.length - (n - 1);
  for (let start = 0; start < last; start++) {
    let same = 0;
    while (same < n - 1 && sequence[start + same] === sequence[last + same]) same++;
    if (same === n - 1) scores[sequence[start + same] ?? -1] = Number.NEGATIVE_INFINITY;
  }
}

/** Whether the sequence ends with all but the last token of a word. */
function completes(sequence: readonly number[], word: readonly number[]): boolean {
  const start = sequence.length - word.length + 1;
  if (start < 0) return false;
  return word.slice(0, -1).every((id, i) => sequence[start + i] === id);
}

/** @throws InvalidArgumentError for a processor that returns new scores, which would be ignored */
function runProcessor(
  processor: (scores: Float64Array, ids: readonly number[]) => unknown,
  scores: Float64Array,
  ids: readonly number[],
): void {
  const returned = processor(scores, ids);
  if (returned === undefined || returned === scores) return;
  const expected = 'a function that changes the scores in place and returns nothing';
  throw new InvalidArgumentError(
    'logitsProcessor',
    expected,
    `one that returns ${describe(returned)}`,
  );
}
