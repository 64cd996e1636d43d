// Chooses the next token of a row from its logits.
import type { SamplingParams } from '@rene-js/layers';
import { GenerationError } from '../errors.js';
import type { Settings } from './options.js';
import { argmax, penalizeRepetition, TokenDistribution } from './token_distribution.js';

/** The likelihood of a token under the model itself: no temperature, filter or penalty. */
export interface TokenLogProb {
  readonly id: number;
  /** Natural logarithm of its probability among the ids below vocabSize. */
  readonly logProb: number;
  /** As many others as asked for, the likeliest first; the token itself may be among them. */
  readonly top: readonly { readonly id: number; readonly logProb: number }[];
}

/** What choosing needs to know of a row. */
export interface ChoosingRow {
  readonly promptLength: number;
  /** Prompt and new tokens. */
  readonly ids: readonly number[];
  /** The tokens of `ids`, once each. */
  readonly seen: ReadonlySet<number>;
  /** The next random number in [0, 1). */
  readonly random: () => number;
}

/** The memory that choosing needs; any number of choosers of a vocabulary can share it. */
export class ChoosingMemory {
  readonly scores: Float64Array;
  readonly distribution: TokenDistribution;

  constructor(vocabSize: number) {
    this.scores = new Float64Array(vocabSize);
    this.distribution = new TokenDistribution(vocabSize);
  }
}

/** What a compiled step is told of a row whose token is the likeliest, or matters to nobody. */
export const greedyChoice: SamplingParams = {
  random: 0,
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
};

/** One a generation. */
export class TokenChooser {
  private readonly scores: Float64Array;
  private readonly distribution: TokenDistribution;
  /** Whether scores are the logits as they are: temperature and filters alone decide. */
  readonly plain: boolean;

  constructor(
    private readonly settings: Settings,
    { scores, distribution } = new ChoosingMemory(settings.vocabSize),
  ) {
    const { repetitionPenalty, logitBias, badWordsIds, minNewTokens } = settings;
    this.scores = scores;
    this.distribution = distribution;
    this.plain =
      repetitionPenalty === 1 &&
      settings.noRepeatNgramSize === 0 &&
      settings.logitsProcessors.length + logitBias.length + badWordsIds.length === 0 &&
      minNewTokens === 0;
  }

  /**
   * @param logits of the row's last token, at least vocabSize
   * @throws GenerationError where no token is left to choose
   */
  choose(logits: Float32Array, row: ChoosingRow): number {
    const { filters, vocabSize } = this.settings;
    let scores: Float32Array | Float64Array = logits;
    if (!this.plain) {
      this.scores.set(logits.subarray(0, vocabSize));
      scores = this.process(this.scores, row);
    }
    const id = filters
      ? this.distribution.setProbabilities(scores, filters).draw(row.random())
      : argmax(scores, vocabSize);
    // NaN among logits makes every probability NaN.
    if (id >= 0 && !(filters && Number.isNaN(this.distribution.values[0]))) return id;
    throw noToken(logits, row.ids.length);
  }

  /**
   * What a step that chooses tokens itself is told of a row. Draws the row's next random number.
   *
   * @returns undefined where the logits are needed: penalties, biases, log-probabilities
   */
  choice(row: Pick<ChoosingRow, 'random'>): SamplingParams | undefined {
    const { filters, logProbs } = this.settings;
    if (!this.plain || logProbs !== undefined) return undefined;
    return filters ? { ...filters, random: row.random() } : greedyChoice;
  }

  /** Applies what the options say to the scores, in place and in the order of transformers. */
  process(scores: Float64Array, row: Omit<ChoosingRow, 'random'>): Float64Array {
    const { settings } = this;
    const { ids: sequence, promptLength } = row;
    for (const [id, bias] of settings.logitBias) scores[id] = (scores[id] ?? 0) + bias;
    if (settings.repetitionPenalty !== 1) {
      penalizeRepetition(scores, row.seen, settings.repetitionPenalty);
    }
    if (settings.noRepeatNgramSize > 0)
      ruleOutRepeats(scores, sequence, settings.noRepeatNgramSize);
    for (const word of settings.badWordsIds) {
      if (completes(sequence, word)) scores[word.at(-1) ?? -1] = Number.NEGATIVE_INFINITY;
    }
    if (sequence.length - promptLength < settings.minNewTokens) {
      for (const id of settings.eosTokenIds) {
        if (id < scores.length) scores[id] = Number.NEGATIVE_INFINITY;
      }
    }
    for (const processor of settings.logitsProcessors) processor(scores, sequence);
    return scores;
  }

  /** @param top how many of the likeliest tokens to list */
  logProb(logits: Float32Array, id: number, top: number): TokenLogProb {
    const { distribution, settings } = this;
    const own = logits.subarray(0, settings.vocabSize);
    const logSum = logSumExp(own);
    distribution.setLogits(own);
    if (top > 0) distribution.keepTopK(top);
    else distribution.size = 0;
    const likeliest = [...distribution.ids.subarray(0, distribution.size)]
      .map((other) => ({ id: other, logProb: (own[other] ?? 0) - logSum }))
      .sort((a, b) => b.logProb - a.logProb || a.id - b.id);
    return { id, logProb: (own[id] ?? 0) - logSum, top: likeliest };
  }
}

/** Why there is nothing to choose. */
export function noToken(logits: Float32Array, length: number): GenerationError {
  return new GenerationError(
    logits.some(Number.isNaN)
      ? `the model's logits are not numbers after ${length} tokens; ` +
          'its weights are damaged, or overflow in this dtype'
      : 'no token can be chosen: logitBias, badWordsIds or a logitsProcessor rules out all of them',
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

/** Rules out the tokens that would make the last n - 1 tokens a run of n that was there before. */
function ruleOutRepeats(scores: Float64Array, sequence: readonly number[], n: number): void {
  const last = sequence.length - (n - 1);
  for (let start = 0; start < last; start++) {
    let same = 0;
    while (same < n - 1 && sequence[start + same] === sequence[last + same]) same++;
    if (same === n - 1) scores[sequence[start + same] ?? -1] = Number.NEGATIVE_INFINITY;
  }
}

/** Whether the sequence ends with all of a word but its last token. */
function completes(sequence: readonly number[], word: readonly number[]): boolean {
  const start = sequence.length - word.length + 1;
  if (start < 0) return false;
  return word.slice(0, -1).every((id, i) => sequence[start + i] === id);
}
