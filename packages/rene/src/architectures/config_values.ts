// Reads typed values from a config.json of the transformers library.
import { ConfigError } from '../errors.js';
import { asRecord, shortJson } from '../json.js';
import type { ModelConfig } from './model_config.js';

const MAX_SIZE = 1 << 24;

export class ConfigValues {
  constructor(
    readonly json: Readonly<Record<string, unknown>>,
    /** Path of the file. Error messages start with it. */
    private readonly where?: string,
  ) {}

  error(key: string, expected: string, found = shortJson(this.json[key])): ConfigError {
    return new ConfigError(key, expected, found, this.where);
  }

  /** The value of the first of these keys that is present and not null. */
  value(...keys: string[]): unknown {
    for (const key of keys) if (this.json[key] != null) return this.json[key];
    return undefined;
  }

  /** An integer of at least 1. Required if there is no fallback. */
  size(key: string, fallback?: number, ...otherKeys: string[]): number {
    const value = this.value(key, ...otherKeys) ?? fallback;
    if (isWhole(value) && value >= 1 && value <= MAX_SIZE) return value;
    throw this.error(key, `a whole number from 1 to ${MAX_SIZE}`, shortJson(value));
  }

  flag(key: string, fallback: boolean, ...otherKeys: string[]): boolean {
    const value = this.value(key, ...otherKeys) ?? fallback;
    if (typeof value === 'boolean') return value;
    throw this.error(key, 'true or false', shortJson(value));
  }

  /** A finite number above 0. */
  positive(key: string, fallback: number, ...otherKeys: string[]): number {
    const value = this.value(key, ...otherKeys) ?? fallback;
    if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value;
    throw this.error(key, 'a finite number above 0', shortJson(value));
  }

  /** A list of `count` finite, nonzero numbers. */
  multipliers(key: string, count: number): number[] {
    const value = this.value(key) ?? Array(count).fill(1);
    const isNumber = (each: unknown) =>
      typeof each === 'number' && Number.isFinite(each) && each !== 0;
    if (Array.isArray(value) && value.length === count && value.every(isNumber))
      return value.map(Number);
    throw this.error(key, `${count} finite numbers other than 0`, shortJson(value));
  }

  /** One of several words. */
  oneOf<Word extends string>(key: string, words: readonly Word[], fallback: Word): Word {
    const value = this.value(key) ?? fallback;
    const found = words.find((word) => word === value);
    if (found !== undefined) return found;
    throw this.error(
      key,
      `${words.map((word) => `'${word}'`).join(' or ')} (others are not supported)`,
    );
  }

  /** [min, max] of dt. The maximum may be infinite, in any spelling. */
  timeStepLimit(key: string, ...otherKeys: string[]): readonly [number, number] {
    const value = this.value(key, ...otherKeys);
    if (value === undefined) return [0, Number.POSITIVE_INFINITY];
    const [min, max] = Array.isArray(value) ? value.map(toNumber) : [];
    const isRange = Array.isArray(value) && value.length === 2;
    if (
      isRange &&
      min !== undefined &&
      max !== undefined &&
      min >= 0 &&
      min <= max &&
      min < 1e308
    ) {
      return [min, max >= 1e308 ? Number.POSITIVE_INFINITY : max];
    }
    throw this.error(key, 'two numbers [min, max], 0 or more and in order', shortJson(value));
  }

  /** A list with a known word per layer. */
  layerTypes<Kind>(key: string, value: unknown, kinds: Readonly<Record<string, Kind>>): Kind[] {
    const names = Object.keys(kinds).join(', ');
    if (!Array.isArray(value) || value.length === 0) {
      throw this.error(key, `a list of ${names}`, shortJson(value));
    }
    return value.map((name: unknown) => {
      const kind = typeof name === 'string' && Object.hasOwn(kinds, name) ? kinds[name] : undefined;
      if (kind !== undefined) return kind;
      throw this.error(key, `layers of ${names} (others are not supported)`, shortJson(name));
    });
  }

  /** @throws ConfigError unless `part` divides `whole` */
  checkDivides(key: string, part: number, whole: number, what: string): void {
    if (whole % part !== 0) throw this.error(key, `a divisor of ${what} (${whole})`, String(part));
  }

  /** Vocabulary and special tokens, with the original's defaults. */
  vocabulary(defaults: VocabularyDefaults): Omit<ModelConfig, 'dModel' | 'nLayer'> {
    const vocabSize = this.size('vocab_size', defaults.vocabSize);
    const isId = (id: unknown): id is number => isWhole(id) && id >= 0 && id < vocabSize;
    const expected = `token ids below vocab_size (${vocabSize}), or null`;
    const ids = (key: string, fallback: number | null): number[] => {
      const given = this.json[key];
      if (given === undefined) return isId(fallback) ? [fallback] : [];
      const list: unknown[] = Array.isArray(given) ? given : given === null ? [] : [given];
      return list.map((id) => {
        if (isId(id)) return id;
        throw this.error(key, expected, shortJson(id));
      });
    };
    const eosTokenIds = [...new Set(ids('eos_token_id', defaults.eos))];
    const eosTokenId = eosTokenIds[0] ?? null;
    // Python's files use -1 for none.
    const pad = this.json.pad_token_id === -1 ? [] : ids('pad_token_id', defaults.pad);
    return {
      vocabSize,
      paddedVocabSize: vocabSize,
      tieWordEmbeddings: this.flag('tie_word_embeddings', false, 'tie_embeddings'),
      lmHeadBias: false,
      padTokenId: pad[0] ?? eosTokenId ?? 0,
      bosTokenId: ids('bos_token_id', defaults.bos)[0] ?? null,
      eosTokenId,
      eosTokenIds,
    };
  }
}

export interface VocabularyDefaults {
  vocabSize: number;
  pad: number | null;
  bos: number | null;
  eos: number | null;
}

function isWhole(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value);
}

/** A number, or a spelling of infinity: 'Infinity', null, or {"__float__": "Infinity"} as transformers writes it. */
function toNumber(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  const spelled = asRecord(value)?.__float__ ?? value;
  const infinite = spelled === null || spelled === 'inf' || spelled === 'Infinity';
  return infinite ? Number.POSITIVE_INFINITY : undefined;
}
