// Generation options with their defaults, validated.
import { InvalidArgumentError } from '@rene-js/layers';
import type { ModelConfig } from '../architectures/model_config.js';
import { describe } from '../describe.js';
import { refuseUnknownOptions } from '../known_options.js';
import type { RecurrentState } from '../state.js';
import type { Tokenizer } from '../tokenizer.js';
import { checkAssistant, type DraftModel } from './draft_model.js';
import type { EntropyFilters } from './entropy_filters.js';
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
import type { GenerateOptions, LogitsProcessor, SamplingOptions } from './options.js';
import type { ProgressOptions } from './progress.js';
import type { Filters } from './token_distribution.js';

/** Generation options with their defaults, validated. */
export interface GenerationConfig {
  /** null for greedy decoding. */
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
  /** 0 for none. */
  readonly promptLookupNumTokens: number;
  readonly assistantModel: DraftModel | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ProgressOptions['onProgress'];
  /** Ids from here on are never sampled. */
  readonly vocabSize: number;
  /** Only for reference generation: sequences end together, when all emit the end of text in one step. */
  readonly stopTogether: boolean;
}

const KNOWN: Readonly<Record<keyof GenerateOptions, true>> = {
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  typicalP: true,
  epsilonCutoff: true,
  etaCutoff: true,
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
  promptLookupNumTokens: true,
  assistantModel: true,
};

/** @throws InvalidArgumentError naming the option. */
export function resolveOptions(options: GenerateOptions, config: ModelConfig): GenerationConfig {
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
  checkAssistant(options.assistantModel, config);
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
    promptLookupNumTokens: whole('promptLookupNumTokens', options.promptLookupNumTokens ?? 0, 0),
    assistantModel: options.assistantModel,
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
  const drafting = options.promptLookupNumTokens ? 'promptLookupNumTokens' : undefined;
  const unfit = given ?? drafting ?? (options.assistantModel && 'assistantModel');
  if (unfit) throw new InvalidArgumentError('numBeams', `1 together with ${unfit}`, `${numBeams}`);
  if (returned > numBeams) {
    throw new InvalidArgumentError('numReturnSequences', `numBeams or fewer`, `${returned}`);
  }
}

function resolveFilters(options: SamplingOptions): Filters | null {
  if (!isSampled(options)) return null;
  const { temperature, topK, topP, minP } = options;
  const filters = {
    temperature: within('temperature', temperature ?? 1, 0, Number.MAX_VALUE),
    topK: whole('topK', topK ?? 0, 0),
    topP: within('topP', topP ?? 1, 0, 1),
    minP: within('minP', minP ?? 0, 0, 1),
    entropy: resolveEntropyFilters(options),
  };
  return filters.temperature === 0 || filters.topK === 1 ? null : filters;
}

const SAMPLING: readonly (keyof SamplingOptions)[] = [
  ...(['temperature', 'topK', 'topP', 'minP', 'seed'] as const),
  ...(['typicalP', 'epsilonCutoff', 'etaCutoff'] as const),
];

/** Whether a sampling option is given. */
export function isSampled(options: SamplingOptions): boolean {
  return SAMPLING.some((name) => options[name] !== undefined);
}

function resolveEntropyFilters(options: SamplingOptions): EntropyFilters | undefined {
  const { typicalP = 1, epsilonCutoff = 0, etaCutoff = 0 } = options;
  const filters = {
    typicalP: within('typicalP', typicalP, Number.MIN_VALUE, 1),
    epsilonCutoff: within('epsilonCutoff', epsilonCutoff, 0, BELOW_ONE),
    etaCutoff: within('etaCutoff', etaCutoff, 0, BELOW_ONE),
  };
  return typicalP === 1 && epsilonCutoff + etaCutoff === 0 ? undefined : filters;
}

const BELOW_ONE = 1 - Number.EPSILON;

/** Random, not secret, and short enough to type. */
function randomSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}
