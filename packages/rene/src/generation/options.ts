// What generate and stream can be told, its defaults, and the refusal of what makes no sense.
import { InvalidArgumentError } from '@rene-js/layers';
import type { ReneConfig } from '../config.js';
import { refuseUnknownOptions } from '../known_options.js';
import type { RecurrentState } from '../state.js';
import type { Tokenizer } from '../tokenizer.js';
import type { ProgressOptions } from './progress.js';
import type { Filters } from './token_distribution.js';

/**
 * Changes the scores of the next token in place, before temperature and filters. A score of
 * -Infinity rules a token out.
 *
 * @param scores a logit for each id below vocabSize
 * @param sequence the row's prompt and new tokens so far
 */
export type LogitsProcessor = (scores: Float64Array, sequence: readonly number[]) => void;

/** How the next token is chosen: greedily, unless one of temperature, topK, topP, minP, seed is given. */
export interface SamplingOptions {
  /** Divides the logits; 0 is greedy. Default 1. */
  temperature?: number | undefined;
  /** Only the topK likeliest tokens; 1 is greedy, 0 (the default) means all. */
  topK?: number | undefined;
  /** Only the fewest tokens whose probabilities add up to topP. 0 and 1 (the default) mean all. */
  topP?: number | undefined;
  /** Only tokens at least minP times as likely as the likeliest, 0 to 1. Default 0, all. */
  minP?: number | undefined;
  /** The same seed gives the same tokens. Random unless given; GenerateResult tells which it was. */
  seed?: number | string | undefined;
}

/** What stream and streamText can be told. */
export interface StreamOptions extends SamplingOptions, ProgressOptions {
  /** Most tokens of a sequence, its prompt counted. */
  maxLength?: number | undefined;
  /** Most new tokens. 128 where maxLength is not given either; where both are, the first to come. */
  maxNewTokens?: number | undefined;
  /** The end of text is ruled out for so many new tokens. Default 0. */
  minNewTokens?: number | undefined;
  /** Above 1, tokens of the prompt and new ones become less likely to come again. Default 1, off. */
  repetitionPenalty?: number | undefined;
  /** No run of so many tokens comes a second time, the prompt counted. Default 0, off. */
  noRepeatNgramSize?: number | undefined;
  /** A sequence ends with any of these. The config's unless given; null for none. */
  eosTokenId?: number | readonly number[] | null | undefined;
  /** A sequence ends with the token that completes any of these texts; needs `tokenizer`. */
  stopStrings?: string | readonly string[] | undefined;
  /** Reads the text of new tokens, for `stopStrings`. */
  tokenizer?: Pick<Tokenizer, 'decodeStream'> | undefined;
  /** Added to the logits of these ids; -Infinity rules one out. */
  logitBias?: ReadonlyMap<number, number> | Readonly<Record<number, number>> | undefined;
  /** Runs of ids that must not come, as in transformers. */
  badWordsIds?: readonly (readonly number[])[] | undefined;
  /** Called in turn for every token of every row. */
  logitsProcessor?: LogitsProcessor | readonly LogitsProcessor[] | undefined;
  /** The prompt goes on where this state is. It is left as it is. */
  state?: RecurrentState | undefined;
}

/** What generate can be told. */
export interface GenerateOptions extends StreamOptions {
  /** Sequences for each prompt. Default 1. */
  numReturnSequences?: number | undefined;
  /** Also return log-probabilities of the new tokens and of so many others, the likeliest. */
  logProbs?: number | undefined;
  /** Also return the state. Default false. */
  returnState?: boolean | undefined;
  /**
   * Beam search with so many beams, as transformers does it; it takes no sampling options and no
   * stopStrings. Default 1, no beam search.
   */
  numBeams?: number | undefined;
  /** A beam's score is its log-probability / newTokens ** lengthPenalty. Default 1. */
  lengthPenalty?: number | undefined;
  /**
   * Beam search ends when it has numBeams finished sequences (true), when a better one is unlikely
   * (false, the default), or only when none can come ('never').
   */
  earlyStopping?: boolean | 'never' | undefined;
  /** Fills up shorter sequences at their end. Unless given each ends where it ends. */
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
  const { vocabSize } = config;
  const { maxLength, maxNewTokens, stopStrings = [], tokenizer, logitsProcessor = [] } = options;
  const filters = resolveFilters(options);
  const numReturnSequences = whole('numReturnSequences', options.numReturnSequences ?? 1, 1);
  const numBeams = whole('numBeams', options.numBeams ?? 1, 1);
  const { lengthPenalty = 1, earlyStopping = false } = options;
  if (numBeams > 1) checkBeams(options, numBeams, numReturnSequences);
  else if (!filters && numReturnSequences > 1) {
    const expected = '1 for greedy generation, which has one result; give a temperature or a seed';
    throw new InvalidArgumentError('numReturnSequences', expected, `${numReturnSequences}`);
  }
  if (options.padTokenId !== undefined) whole('padTokenId', options.padTokenId, 0);
  const strings = typeof stopStrings === 'string' ? [stopStrings] : stopStrings;
  if (strings.length > 0 && !tokenizer) {
    throw new InvalidArgumentError('tokenizer', 'the tokenizer, to look for stopStrings', 'none');
  }
  if (strings.includes('')) throw new InvalidArgumentError('stopStrings', 'text', "''");
  return {
    filters,
    seed: options.seed ?? randomSeed(),
    maxLength: whole('maxLength', maxLength ?? Number.POSITIVE_INFINITY, 1),
    maxNewTokens: whole(
      'maxNewTokens',
      maxNewTokens ?? (maxLength === undefined ? 128 : Number.POSITIVE_INFINITY),
      1,
    ),
    minNewTokens: whole('minNewTokens', options.minNewTokens ?? 0, 0),
    repetitionPenalty: within('repetitionPenalty', options.repetitionPenalty ?? 1, 1e-6, 1e6),
    noRepeatNgramSize: whole('noRepeatNgramSize', options.noRepeatNgramSize ?? 0, 0),
    eosTokenIds: resolveEos(options.eosTokenId, config),
    stopStrings: strings,
    tokenizer,
    logitBias: resolveBias(options.logitBias, vocabSize),
    badWordsIds: resolveBadWords(options.badWordsIds, vocabSize),
    logitsProcessors: typeof logitsProcessor === 'function' ? [logitsProcessor] : logitsProcessor,
    numReturnSequences,
    numBeams,
    lengthPenalty: within('lengthPenalty', lengthPenalty, -1e6, 1e6),
    earlyStopping,
    logProbs:
      options.logProbs === undefined
        ? undefined
        : whole('logProbs', options.logProbs, 0, vocabSize),
    state: options.state,
    returnState: options.returnState ?? false,
    signal: options.signal,
    onProgress: options.onProgress,
    vocabSize,
    stopTogether: false,
  };
}

function checkBeams(options: GenerateOptions, numBeams: number, returned: number): void {
  const { earlyStopping = false } = options;
  const unable = ['stopStrings', 'logProbs', 'returnState'] as const;
  const given = resolveFilters(options)
    ? 'a sampling option'
    : unable.find((name) => options[name] !== undefined);
  if (given) throw new InvalidArgumentError('numBeams', `1 together with ${given}`, `${numBeams}`);
  if (returned > numBeams) {
    throw new InvalidArgumentError('numReturnSequences', `numBeams or fewer`, `${returned}`);
  }
  if (typeof earlyStopping !== 'boolean' && earlyStopping !== 'never') {
    throw new InvalidArgumentError('earlyStopping', "true, false or 'never'", `${earlyStopping}`);
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

function resolveEos(option: GenerateOptions['eosTokenId'], config: ReneConfig): Set<number> {
  const ids = option === undefined ? config.eosTokenId : option;
  const list = ids === null ? [] : typeof ids === 'number' ? [ids] : ids;
  for (const id of list) whole('eosTokenId', id, 0, config.paddedVocabSize - 1);
  return new Set(list);
}

function resolveBias(
  bias: GenerateOptions['logitBias'] = {},
  vocabSize: number,
): [id: number, bias: number][] {
  // A Map's entries and an object's differ in the type of their keys only.
  const entries: [number | string, number][] =
    bias instanceof Map ? [...bias] : Object.entries(bias);
  return entries.map(([key, value]) => {
    if (typeof value !== 'number' || Number.isNaN(value)) {
      throw new InvalidArgumentError(`logitBias[${key}]`, 'a number', String(value));
    }
    return [whole('logitBias', Number(key), 0, vocabSize - 1), value];
  });
}

function resolveBadWords(
  words: readonly (readonly number[])[] = [],
  vocabSize: number,
): readonly (readonly number[])[] {
  for (const word of words) {
    if (!Array.isArray(word) || word.length === 0) {
      throw new InvalidArgumentError('badWordsIds', 'lists of token ids', JSON.stringify(word));
    }
    for (const id of word) whole('badWordsIds', id, 0, vocabSize - 1);
  }
  return words;
}

function whole(name: string, value: number, min: number, max = Number.POSITIVE_INFINITY): number {
  const isWhole = Number.isInteger(value) || value === Number.POSITIVE_INFINITY;
  if (isWhole && value >= min && value <= max) return value;
  const range = max < Number.POSITIVE_INFINITY ? `${min} to ${max}` : `${min} or more`;
  throw new InvalidArgumentError(name, `a whole number, ${range}`, String(value));
}

function within(name: string, value: number, min: number, max: number): number {
  if (typeof value === 'number' && value >= min && value <= max) return value;
  const expected = max > 1e6 ? `a finite number, ${min} or more` : `a number from ${min} to ${max}`;
  throw new InvalidArgumentError(name, expected, String(value));
}

/** Not a secret; only different every time, and short enough to be typed again. */
function randomSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}
