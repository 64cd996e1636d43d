// Checks of generation options: their types and ranges, with errors that name the option.
import { InvalidArgumentError } from '@rene-js/layers';
import type { ModelConfig } from '../architectures/model_config.js';
import { describe } from '../describe.js';
import { RecurrentState } from '../state.js';
import type { GenerateOptions, LogitsProcessor } from './options.js';
import type { ProgressOptions } from './progress.js';

/** Only eosTokenId can be null. @throws InvalidArgumentError */
export function refuseNull(options: GenerateOptions): void {
  for (const [name, value] of Object.entries(options)) {
    if (value !== null || name === 'eosTokenId') continue;
    throw new InvalidArgumentError(name, 'a value, or undefined for the default', 'null');
  }
}

/** A whole number within a range. @throws InvalidArgumentError */
export function whole(
  name: string,
  value: unknown,
  min: number,
  max = Number.POSITIVE_INFINITY,
): number {
  const isWhole = Number.isInteger(value) || value === Number.POSITIVE_INFINITY;
  if (typeof value === 'number' && isWhole && value >= min && value <= max) return value;
  const range = max < Number.POSITIVE_INFINITY ? `${min} to ${max}` : `${min} or more`;
  throw new InvalidArgumentError(name, `a whole number, ${range}`, describe(value));
}

/** A number within a range. @throws InvalidArgumentError */
export function within(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && value >= min && value <= max) return value;
  const expected = max > 1e6 ? `a finite number, ${min} or more` : `a number from ${min} to ${max}`;
  throw new InvalidArgumentError(name, expected, describe(value));
}

export function truth(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw new InvalidArgumentError(name, 'true or false', describe(value));
}

/** @throws InvalidArgumentError for a value that cannot be a seed */
export function resolveSeed(seed: unknown): number | string | undefined {
  const isSeed = typeof seed === 'string' || (typeof seed === 'number' && !Number.isNaN(seed));
  if (isSeed || seed === undefined) return seed;
  throw new InvalidArgumentError('seed', 'a number or a string', describe(seed));
}

export function resolveStopStrings(
  strings: unknown,
  tokenizer: GenerateOptions['tokenizer'],
): readonly string[] {
  const list: readonly unknown[] =
    typeof strings === 'string' ? [strings] : asList('stopStrings', strings, 'a string or strings');
  const texts = list.map((text) => {
    if (typeof text === 'string' && text !== '') return text;
    const found = text === '' ? "''" : describe(text);
    throw new InvalidArgumentError('stopStrings', 'text', found);
  });
  const canDecode = typeof tokenizer?.decodeStream === 'function';
  if (tokenizer !== undefined && !canDecode) {
    throw new InvalidArgumentError('tokenizer', 'a Tokenizer', describe(tokenizer));
  }
  if (texts.length === 0 || canDecode) return texts;
  throw new InvalidArgumentError('tokenizer', 'a tokenizer, which stopStrings need', 'none');
}

export function resolveEos(
  option: GenerateOptions['eosTokenId'],
  config: ModelConfig,
): ReadonlySet<number> {
  const ids: unknown = option === undefined ? config.eosTokenIds : option;
  if (ids === null) return new Set();
  const list =
    typeof ids === 'number' ? [ids] : asList('eosTokenId', ids, 'a token id, ids or null');
  return new Set(list.map((id) => whole('eosTokenId', id, 0, config.paddedVocabSize - 1)));
}

export function resolveBias(
  bias: GenerateOptions['logitBias'] = {},
  vocabSize: number,
): [id: number, bias: number][] {
  if (typeof bias !== 'object' || bias === null || Array.isArray(bias)) {
    throw new InvalidArgumentError('logitBias', 'a Map or an object by token id', describe(bias));
  }
  // A Map and an object differ only in the type of their keys.
  const entries: [number | string, unknown][] =
    bias instanceof Map ? [...bias] : Object.entries(bias);
  return entries.map(([key, value]) => {
    if (typeof value !== 'number' || Number.isNaN(value)) {
      throw new InvalidArgumentError(`logitBias[${key}]`, 'a number', describe(value));
    }
    const id = typeof key === 'string' && /^\d+$/.test(key) ? Number(key) : key;
    return [whole('logitBias', id, 0, vocabSize - 1), value];
  });
}

/** Without those that consist of an end-of-text token, as in transformers. */
export function resolveBadWords(
  words: GenerateOptions['badWordsIds'] = [],
  vocabSize: number,
  eosTokenIds: ReadonlySet<number>,
): readonly (readonly number[])[] {
  const lists = asList('badWordsIds', words, 'a list of lists of token ids').map((word) => {
    if (!Array.isArray(word) || word.length === 0) {
      throw new InvalidArgumentError('badWordsIds', 'lists of token ids', describe(word));
    }
    const ids: readonly unknown[] = word;
    return ids.map((id) => whole('badWordsIds', id, 0, vocabSize - 1));
  });
  return lists.filter(([first = -1, ...more]) => more.length > 0 || !eosTokenIds.has(first));
}

export function resolveProcessors(
  processors: GenerateOptions['logitsProcessor'] = [],
): readonly LogitsProcessor[] {
  const expected = 'a function or functions';
  const list: readonly LogitsProcessor[] =
    typeof processors === 'function' ? [processors] : processors;
  for (const processor of asList('logitsProcessor', list, expected)) {
    if (typeof processor === 'function') continue;
    throw new InvalidArgumentError('logitsProcessor', expected, describe(processor));
  }
  return list;
}

export function checkState(state: unknown): void {
  if (state === undefined || state instanceof RecurrentState) return;
  const advice = typeof state === 'string' ? '; load a file with model.restoreState(path)' : '';
  throw new InvalidArgumentError('state', 'a RecurrentState', `${describe(state)}${advice}`);
}

/** @throws InvalidArgumentError for a signal or callback of another type */
export function checkCallbacks({ signal, onProgress }: ProgressOptions): void {
  if (signal !== undefined && typeof signal?.aborted !== 'boolean') {
    throw new InvalidArgumentError('signal', 'an AbortSignal', describe(signal));
  }
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new InvalidArgumentError('onProgress', 'a function', describe(onProgress));
  }
}

function asList(name: string, value: unknown, expected: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new InvalidArgumentError(name, expected, describe(value));
}
