// Generation options: types, defaults and validation.
import { InvalidArgumentError } from '@rene-js/layers';
import type { ReneConfig } from '../config.js';
import { describe } from '../describe.js';
import { refuseUnknownOptions } from '../known_options.js';
import type { RecurrentState } from '../state.js';
import type { Tokenizer } from '../tokenizer.js';
import {
  checkCallbacks,
  checkState,
  refuseNull,
  resolveBadWords,
  resolveBias,
  resolveEos,
  resolveProcessors,
  resolveSeed,
  resolveStopStrings,
  truth,
  whole,
  within,
} from './option_values.js';
import type { ProgressOptions } from './progress.js';
import type { Filters } from './token_distribution.js';

/**
 * Changes the scores of the next token in place, before temperature and filters. A score of
 * -Infinity rules a token out.
 *
 * @param scores a logit for each id below vocabSize
 * @param sequence prompt and new tokens so far
 */
export type LogitsProcessor = (scores: Float64Array, sequence: readonly number[]) => void;

/** Sampling parameters. Greedy decoding, unless one of temperature, topK, topP, minP, seed is given. */
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
  /** Sample from tokens at least minP times as probable as the top one, 0 to 1. Default: 0, all. */
  minP?: number | undefined;
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
  /** Above 1, tokens of the prompt and new ones become less probable. Default: 1, off. */
  repetitionPenalty?: number | undefined;
  /** No run of so many tokens is repeated, the prompt included. Default: 0, off. */
  noRepeatNgramSize?: number | undefined;
  /** A sequence ends with any of these tokens; null for none. Default: the config's. */
  eosTokenId?: number | readonly number[] | null | undefined;
  /** A sequence ends with the token that completes any of these texts; needs `tokenizer`. */
  stopStrings?: string | readonly string[] | undefined;
  /** Decodes new tokens, for `stopStrings`. */
  tokenizer?: Pick<Tokenizer, 'decodeStream'> | undefined;
  /** Added to the logits of these ids; -Infinity rules one out. */
  logitBias?: ReadonlyMap<number, number> | Readonly<Record<number, number>> | undefined;
  /** Runs of ids that are ruled out, as in transformers: one that is an end of text alone is ignored. */
  badWordsIds?: readonly (readonly number[])[] | undefined;
  /** Called in turn for every token of every sequence. */
  logitsProcessor?: LogitsProcessor | readonly LogitsProcessor[] | undefined;
  /** The prompt continues this state, which is left as it is. */
  state?: RecurrentState | undefined;
}

/** Options of generate. */
export interface GenerateOptions extends StreamOptions {
  /** Sequences per prompt. Default: 1. */
  numReturnSequences?: number | undefined;
  /** Also return log-probabilities of the new tokens and of so many top tokens. Default: none. */
  logProbs?: number | undefined;
  /** Also return the state. Default: false. */
  returnState?: boolean | undefined;
  /**
   * Beam search with so many beams, as in transformers; not with sampling options or stopStrings.
   * Default: 1, no beam search.
   */
  numBeams?: number | undefined;
  /** A beam's score is its log-probability / newTokens ** lengthPenalty. Default: 1. */
  lengthPenalty?: number | undefined;
  /**
   * Beam search ends when it has numBeams finished sequences (true), when a better one is unlikely
   * (false), or only when none can come ('never'). Default: false.
   */
  earlyStopping?: boolean | 'never' | undefined;
  /** Pads shorter sequences at their end. Default: none; each ends where it ends. */
  padTokenId?: number | undefined;
}

/** Options with their defaults, checked. */
export interface Settings {
  /** null for greedy. */
  readonly filters: Filters | null;
  readonly seed: number | string;
  readonly maxLength: number;
  readonly maxNewTokens: number;
  readonly minNewTokens: number;
  readonly repetitionPenalty: number;
  /** 0 for none. */
  readonly noRepeatNgramSize: number;
  readonly eosTokenIds: ReadonlySet<number>;
  readonly stopStrings: readonly string[];
  readonly tokenizer: Pick<Tokenizer, 'decodeStream'> | undefined;
  readonly logitBias: readonly (readonly [id: number, bias: number])[];
  readonly badWordsIds: readonly (readonly number[])[];
  readonly logitsProcessors: readonly LogitsProcessor[];
  readonly numReturnSequences: number;
  readonly numBeams: number;
  readonly lengthPenalty: number;
  readonly earlyStopping: boolean | 'never';
  /** undefined for none. */
  readonly logProbs: number | undefined;
  readonly state: RecurrentState | undefined;
  readonly returnState: boolean;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ProgressOptions['onProgress'];
  /** Ids from here on are never chosen. */
  readonly vocabSize: number;
  /** The reference's way: rows end together, when all emit the end of text in one step. */
  readonly stopTogether: boolean;
}

const KNOWN: Readonly<Record<keyof GenerateOptions, true>> = {
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  seed: true,
  maxLength: true,
  maxNewTokens: true,
  minNewTokens: true,
  repetitionPenalty: true,
  noRepeatNgramSize: true,
  eosTokenId: true,
  stopStrings: true,
  tokenizer: true,
  logitBias: true,
  badWordsIds: true,
  logitsProcessor: true,
  state: true,
  signal: true,
  onProgress: true,
  numReturnSequences: true,
  logProbs: true,
  returnState: true,
  numBeams: true,
  lengthPenalty: true,
  earlyStopping: true,
  padTokenId: true,
};

/** @throws InvalidArgumentError naming the option. */
export function resolveOptions(options: GenerateOptions, config: ReneConfig): Settings {
  refuseUnknownOptions(options, KNOWN);
  refuseNull(options);
  const { vocabSize } = config;
  const { maxLength, maxNewTokens, stopStrings = [], tokenizer } = options;
  const filters = resolveFilters(options);
  const eosTokenIds = resolveEos(options.eosTokenId, config);
  const numReturnSequences = whole('numReturnSequences', options.numReturnSequences ?? 1, 1);
  const numBeams = whole('numBeams', options.numBeams ?? 1, 1);
  const { lengthPenalty = 1, earlyStopping = false } = options;
  if (numBeams > 1) checkBeams(options, numBeams, numReturnSequences);
  else if (!filters && numReturnSequences > 1) {
    const expected = '1 for greedy generation, which has one result; give a temperature or a seed';
    throw new InvalidArgumentError('numReturnSequences', expected, `${numReturnSequences}`);
  }
  if (options.padTokenId !== undefined) whole('padTokenId', options.padTokenId, 0);
  if (earlyStopping !== 'never' && typeof earlyStopping !== 'boolean') {
    throw new InvalidArgumentError(
      'earlyStopping',
      "true, false or 'never'",
      describe(earlyStopping),
    );
  }
  checkState(options.state);
  checkCallbacks(options);
  return {
    filters,
    seed: resolveSeed(options.seed) ?? randomSeed(),
    maxLength: whole('maxLength', maxLength ?? Number.POSITIVE_INFINITY, 1),
    maxNewTokens: whole(
      'maxNewTokens',
      maxNewTokens ?? (maxLength === undefined ? 128 : Number.POSITIVE_INFINITY),
      1,
    ),
    minNewTokens: whole('minNewTokens', options.minNewTokens ?? 0, 0),
    repetitionPenalty: within('repetitionPenalty', options.repetitionPenalty ?? 1, 1e-6, 1e6),
    noRepeatNgramSize: whole('noRepeatNgramSize', options.noRepeatNgramSize ?? 0, 0),
    eosTokenIds,
    stopStrings: resolveStopStrings(stopStrings, tokenizer),
    tokenizer,
    logitBias: resolveBias(options.logitBias, vocabSize),
    badWordsIds: resolveBadWords(options.badWordsIds, vocabSize, eosTokenIds),
    logitsProcessors: resolveProcessors(options.logitsProcessor),
    numReturnSequences,
    numBeams,
    lengthPenalty: within('lengthPenalty', lengthPenalty, -1e6, 1e6),
    earlyStopping,
    logProbs:
      options.logProbs === undefined
        ? undefined
        : whole('logProbs', options.logProbs, 0, vocabSize),
    state: options.state,
    returnState: truth('returnState', options.returnState ?? false),
    signal: options.signal,
    onProgress: options.onProgress,
    vocabSize,
    stopTogether: false,
  };
}

function checkBeams(options: GenerateOptions, numBeams: number, returned: number): void {
  const unable = ['stopStrings', 'logProbs', 'returnState'] as const;
  const given = resolveFilters(options)
    ? 'a sampling option'
    : unable.find((name) => options[name] !== undefined);
  if (given) throw new InvalidArgumentError('numBeams', `1 together with ${given}`, `${numBeams}`);
  if (returned > numBeams) {
    throw new InvalidArgumentError('numReturnSequences', `numBeams or fewer`, `${returned}`);
  }
}

function resolveFilters(options: SamplingOptions): Filters | null {
  const { temperature, topK, topP, minP, seed } = options;
  if ([temperature, topK, topP, minP, seed].every((option) => option === undefined)) return null;
  const filters = {
    temperature: within('temperature', temperature ?? 1, 0, Number.MAX_VALUE),
    topK: whole('topK', topK ?? 0, 0),
    topP: within('topP', topP ?? 1, 0, 1),
    minP: within('minP', minP ?? 0, 0, 1),
  };
  return filters.temperature === 0 || filters.topK === 1 ? null : filters;
}

/** Not a secret; only different every time, and short enough to be typed again. */
function randomSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}
