// Generation options: types and defaults.
import type { RecurrentState } from '../state.js';
import type { Tokenizer } from '../tokenizer.js';
import type { DraftModel } from './draft_model.js';
import type { ProgressOptions } from './progress.js';

/**
 * Changes the scores of the next token in place, before temperature and filters. A score of
 * -Infinity rules a token out.
 *
 * @param scores a logit for each id below vocabSize
 * @param sequence prompt and new tokens so far
 */
export type LogitsProcessor = (scores: Float64Array, sequence: readonly number[]) => void;

/** Sampling parameters. Greedy decoding, unless one of them is given. */
export interface SamplingOptions {
  /** Divides the logits; 0 is greedy. Default: 1. */
  temperature?: number | undefined;
  /**
   * Sample from the topK most probable tokens, and those as probable as the last of them; 1 is greedy,
   * 0 means all. Default: 0.
   */
  topK?: number | undefined;
  /**
   * Sample from the smallest set of tokens whose probabilities sum to topP; 0 and 1 mean all. Default: 1.
   */
  topP?: number | undefined;
  /** Sample from tokens with at least minP times the top probability, 0 to 1. Default: 0, all. */
  minP?: number | undefined;
  /**
   * Locally typical sampling: sample from the tokens whose information is closest to the entropy and whose
   * probabilities sum to typicalP, 0 (exclusive) to 1. Default: 1, all.
   */
  typicalP?: number | undefined;
  /** Sample from tokens with at least this probability, below 1. Default: 0, all. */
  epsilonCutoff?: number | undefined;
  /**
   * Eta sampling: sample from tokens with at least the smaller of etaCutoff and
   * sqrt(etaCutoff) * exp(-entropy), below 1. Default: 0, all.
   */
  etaCutoff?: number | undefined;
  /** The same seed gives the same tokens. Default: random; GenerateResult has it. */
  seed?: number | string | undefined;
}

/** Options of stream and streamText. */
export interface StreamOptions extends SamplingOptions, ProgressOptions {
  /** Maximum number of tokens of a sequence, its prompt included. Default: none. */
  maxLength?: number | undefined;
  /** Maximum number of new tokens. Default: 128, or none where maxLength is given. */
  maxNewTokens?: number | undefined;
  /** Minimum number of new tokens before the end of text. Default: 0. */
  minNewTokens?: number | undefined;
  /** Penalty for tokens of the prompt and new tokens; above 1 they become less probable. Default: 1, off. */
  repetitionPenalty?: number | undefined;
  /** Size of n-grams that may occur only once, prompt included. Default: 0, off. */
  noRepeatNgramSize?: number | undefined;
  /** End-of-text tokens; null for none. Default: the config's. */
  eosTokenId?: number | readonly number[] | null | undefined;
  /** A sequence ends with the token that completes any of these texts. Needs `tokenizer`. */
  stopStrings?: string | readonly string[] | undefined;
  /** Decodes new tokens, for `stopStrings`. */
  tokenizer?: Pick<Tokenizer, 'decodeStream'> | undefined;
  /** Values added to the logits of these ids; -Infinity excludes an id. */
  logitBias?: ReadonlyMap<number, number> | Readonly<Record<number, number>> | undefined;
  /**
   * Sequences of ids that must not occur, as in transformers: one that is only an end-of-text token is
   * ignored.
   */
  badWordsIds?: readonly (readonly number[])[] | undefined;
  /** Called in order for every token of every sequence. */
  logitsProcessor?: LogitsProcessor | readonly LogitsProcessor[] | undefined;
  /** State that the prompt continues. It is not changed. */
  state?: RecurrentState | undefined;
  /**
   * Prompt-lookup decoding: maximum number of tokens that are drafted from earlier n-grams and verified in one
   * forward pass. It is faster for text that repeats parts of its prompt, and the tokens are the same. Drafting
   * stops where it does not pay. Not with beam search. Default: 0, off.
   */
  promptLookupNumTokens?: number | undefined;
  /**
   * Assisted decoding: a small model of the same vocabulary and on the same backend, which drafts tokens
   * instead. The tokens are the same as without it. Default: none.
   */
  assistantModel?: DraftModel | undefined;
}

/** Options of generate. */
export interface GenerateOptions extends StreamOptions {
  /** Sequences per prompt. Default: 1. */
  numReturnSequences?: number | undefined;
  /** Also return log-probabilities of the new tokens and of this many top tokens. Default: none. */
  logProbs?: number | undefined;
  /** Also return the state. Default: false. */
  returnState?: boolean | undefined;
  /**
   * Number of beams, as in transformers; not with sampling options or stopStrings. Default: 1, no beam
   * search.
   */
  numBeams?: number | undefined;
  /** A beam's score is its log-probability / newTokens ** lengthPenalty. Default: 1. */
  lengthPenalty?: number | undefined;
  /**
   * Beam search ends when it has numBeams finished sequences (true), when a better one is unlikely
   * (false), or only when none can come ('never'). Default: false.
   */
  earlyStopping?: boolean | 'never' | undefined;
  /** Pads shorter sequences at their end. Default: no padding. */
  padTokenId?: number | undefined;
}
