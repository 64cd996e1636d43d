// generation_config.json: a model's own defaults of generation, as transformers writes and applies them.
import type { ModelConfig } from '../architectures/model_config.js';
import { ConfigError } from '../errors.js';
import { asRecord, shortJson } from '../json.js';
import { checkIsOptions } from '../known_options.js';
import type { GenerateOptions } from './options.js';
import { isSampled } from './resolve_options.js';

/** transformers' default of top_k. */
const DEFAULT_TOP_K = 50;

/** Options that apply where the user gives none. */
type Defaults = Pick<
  GenerateOptions,
  | ('temperature' | 'topK' | 'topP' | 'minP' | 'maxLength' | 'maxNewTokens' | 'minNewTokens')
  | ('typicalP' | 'epsilonCutoff' | 'etaCutoff')
  | ('repetitionPenalty' | 'noRepeatNgramSize' | 'badWordsIds' | 'stopStrings' | 'padTokenId')
  | ('numBeams' | 'lengthPenalty' | 'earlyStopping')
>;

/** A model's generation defaults. The user's options win. */
export interface GenerationDefaults extends Readonly<Defaults> {
  /** Whether to sample if no sampling option is given. Default: false. */
  readonly doSample?: boolean | undefined;
  /** The content of generation_config.json, which save() writes again. */
  readonly json?: Readonly<Record<string, unknown>> | undefined;
}

/** Keys that have no effect here, or are read elsewhere. */
const HARMLESS: ReadonlySet<string> = new Set([
  ...['_from_model_config', 'transformers_version', 'bos_token_id', 'decoder_start_token_id'],
  ...['use_cache', 'cache_implementation', 'cache_config', 'return_legacy_cache', 'is_assistant'],
  ...['output_attentions', 'output_hidden_states', 'output_scores', 'output_logits'],
  ...['return_dict_in_generate', 'disable_compile', 'compile_config', 'num_return_sequences'],
]);

/** Options of transformers that are not supported, with the values that turn them off. */
const NEUTRAL: Readonly<Record<string, unknown>> = {
  diversity_penalty: 0,
  encoder_repetition_penalty: 1,
  encoder_no_repeat_ngram_size: 0,
  num_beam_groups: 1,
  guidance_scale: 1,
  min_length: 0,
  penalty_alpha: 0,
};

/**
 * Parses a generation_config.json.
 *
 * @param onNotice called with the names of unsupported options
 * @throws ConfigError for values of a wrong type or out of range
 */
export function parseGenerationDefaults(
  json: unknown,
  { vocabSize }: ModelConfig,
  where: string,
  onNotice: (notice: string) => void = () => {},
): GenerationDefaults {
  const record = asRecord(json);
  if (!record) throw new ConfigError('generation_config', 'an object', shortJson(json), where);
  const reader = new Reader(record, where);
  const doSample = reader.flag('do_sample');
  const config: GenerationDefaults = {
    json: record,
    doSample,
    temperature: reader.number('temperature', 0, 1e6),
    topK: reader.whole('top_k', 0) ?? (doSample ? DEFAULT_TOP_K : undefined),
    topP: reader.number('top_p', 0, 1),
    minP: reader.number('min_p', 0, 1),
    typicalP: reader.number('typical_p', Number.MIN_VALUE, 1),
    epsilonCutoff: reader.number('epsilon_cutoff', 0, 1),
    etaCutoff: reader.number('eta_cutoff', 0, 1),
    maxLength: reader.whole('max_length', 1),
    maxNewTokens: reader.whole('max_new_tokens', 1),
    minNewTokens: reader.whole('min_new_tokens', 0),
    repetitionPenalty: reader.number('repetition_penalty', 1e-6, 1e6),
    noRepeatNgramSize: reader.whole('no_repeat_ngram_size', 0),
    badWordsIds: reader.words('bad_words_ids', vocabSize),
    stopStrings: reader.texts('stop_strings'),
    padTokenId: reader.whole('pad_token_id', 0),
    numBeams: reader.whole('num_beams', 1),
    lengthPenalty: reader.number('length_penalty', -1e6, 1e6),
    earlyStopping: reader.earlyStopping('early_stopping'),
  };
  const unsupported = reader.unsupported();
  if (doSample && (config.numBeams ?? 1) > 1) unsupported.push('num_beams with do_sample');
  if (unsupported.length > 0) {
    onNotice(`${where}: not supported and without effect: ${unsupported.join(', ')}`);
  }
  return config;
}

/**
 * A model's configuration with the end-of-text tokens of generation_config.json, which win over those of
 * config.json as in transformers.
 *
 * @throws ConfigError
 */
export function withEosOf(json: unknown, config: ModelConfig, where: string): ModelConfig {
  const eos = asRecord(json)?.eos_token_id;
  if (eos == null) return config;
  const ids: unknown[] = Array.isArray(eos) ? eos : [eos];
  const eosTokenIds = ids.map((id) => {
    if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < config.vocabSize)
      return id;
    const expected = `token ids below vocab_size (${config.vocabSize})`;
    throw new ConfigError('eos_token_id', expected, shortJson(id), where);
  });
  return { ...config, eosTokenId: eosTokenIds[0] ?? null, eosTokenIds };
}

/** Merges the user's options with the model's defaults. */
export function withGenerationDefaults(
  options: GenerateOptions,
  config: GenerationDefaults = {},
): GenerateOptions {
  checkIsOptions(options);
  const { doSample, json: _, stopStrings, maxLength, maxNewTokens, ...others } = config;
  const { temperature, topK, topP, minP, typicalP, epsilonCutoff, etaCutoff, ...unsampled } =
    others;
  const { numBeams, lengthPenalty, earlyStopping, ...rest } = unsampled;
  const filters = { topK, topP, minP, typicalP, epsilonCutoff, etaCutoff };
  const { tokenizer } = options;
  const samples = isSampled(options) || (doSample === true && (options.numBeams ?? 1) === 1);
  const hasLength = options.maxLength !== undefined || options.maxNewTokens !== undefined;
  // Beam search does not sample.
  const takesBeams =
    !samples && !options.stopStrings && options.logProbs === undefined && !options.returnState;
  const defaults: GenerateOptions = {
    ...rest,
    ...(samples && { temperature: temperature ?? 1, ...filters }),
    ...(!hasLength && { maxLength, maxNewTokens }),
    ...(takesBeams && { numBeams, lengthPenalty, earlyStopping }),
    // Stop strings need a tokenizer. Beam search does not support them.
    ...(tokenizer && (numBeams ?? 1) === 1 && { stopStrings }),
  };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(given) };
}

class Reader {
  private readonly seen = new Set<string>(['eos_token_id']);

  constructor(
    private readonly values: Readonly<Record<string, unknown>>,
    private readonly where: string,
  ) {}

  flag(key: string): boolean | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.error(key, 'true or false');
  }

  number(key: string, min: number, max: number): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && value >= min && value <= max) return value;
    throw this.error(key, `a number from ${min} to ${max}`);
  }

  whole(key: string, min: number): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min) return value;
    throw this.error(key, `a whole number, ${min} or more`);
  }

  texts(key: string): string | string[] | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === 'string') return value;
    if (isListOf(value, (each) => typeof each === 'string' && each !== '')) return value;
    throw this.error(key, 'a text or a list of texts');
  }

  words(key: string, vocabSize: number): number[][] | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    const isId = (id: unknown): id is number =>
      typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabSize;
    const isWord = (word: unknown): word is number[] => isListOf(word, isId) && word.length > 0;
    if (isListOf(value, isWord)) return value;
    throw this.error(key, `lists of token ids below vocab_size (${vocabSize})`);
  }

  earlyStopping(key: string): boolean | 'never' | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === 'boolean' || value === 'never') return value;
    throw this.error(key, "true, false or 'never'");
  }

  /** Keys that were not read and would have an effect in transformers. */
  unsupported(): string[] {
    return Object.entries(this.values).flatMap(([key, value]) => {
      const isNothing = value == null || value === false || value === NEUTRAL[key];
      return isNothing || this.seen.has(key) || HARMLESS.has(key) ? [] : [key];
    });
  }

  private get(key: string): unknown {
    this.seen.add(key);
    return this.values[key] ?? undefined;
  }

  private error(key: string, expected: string): ConfigError {
    return new ConfigError(key, expected, shortJson(this.values[key]), this.where);
  }
}

function isListOf<T>(value: unknown, is: (each: unknown) => each is T): value is T[];
function isListOf(value: unknown, is: (each: unknown) => boolean): value is string[];
function isListOf(value: unknown, is: (each: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(is);
}
