// Parsers for the values of `rene eval`'s options, in lm-eval's syntax.
import { readFileSync } from 'node:fs';
import { asRecord, parseJson } from '@rene-js/rene/internal/startup';
import { InvalidArgumentError } from 'commander';
import { DEFAULT_SEEDS, type Seeds } from '../evaluation/seeds.js';
import { number, wholeNumber } from './numbers.js';

/** Comma-separated names, appended to those of earlier uses of the option. */
export function names(text: string, before: readonly string[] = []): string[] {
  return [...before, ...split(text)];
}

/** key=value pairs or a JSON object, merged with those of earlier uses of the option. */
export function modelArgs(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Record<string, string> {
  if (text.trimStart().startsWith('{')) {
    const entries = Object.entries(jsonObject(text)).map(([key, value]): [string, string] => [
      key,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]);
    return withArgs(before, entries);
  }
  const entries = split(text).map((pair): [string, string] => {
    const at = pair.indexOf('=');
    if (at < 1) throw new InvalidArgumentError(`Expected key=value, found '${pair}'.`);
    return [pair.slice(0, at), pair.slice(at + 1)];
  });
  return withArgs(before, entries);
}

/** The harness silently uses the last of two values, and would evaluate another model than the first one. */
function withArgs(
  before: Readonly<Record<string, string>>,
  entries: readonly (readonly [key: string, value: string])[],
): Record<string, string> {
  const all = new Map(Object.entries(before));
  for (const [key, value] of entries) {
    const other = all.get(key);
    if (other !== undefined && other !== value) {
      throw new InvalidArgumentError(
        `Expected one value of '${key}', found '${other}' and '${value}'.`,
      );
    }
    all.set(key, value);
  }
  return Object.fromEntries(all);
}

function split(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** lm-eval's auto:M searches M times for a larger size. Ours needs one search. */
export function batchSize(text: string): number | 'auto' {
  if (/^auto(:\d+)?$/.test(text)) return 'auto';
  const size = wholeNumber(text);
  if (size >= 1) return size;
  throw new InvalidArgumentError('It must be 1 or more, or auto.');
}

export function limit(text: string): number {
  const value = number(text);
  if (value > 0 && (value < 1 || Number.isInteger(value))) return value;
  throw new InvalidArgumentError('It must be a whole number from 1, or a share below 1.');
}

/** One seed for all four generators, or three or four seeds. 'None' leaves a generator unseeded. */
export function seeds(text: string): Seeds {
  const parts = text.split(',').map(seed);
  if (parts.length === 1) parts.push(...parts, ...parts, ...parts);
  const [random, numpy, torch, fewshot = DEFAULT_SEEDS[3]] = parts;
  if (random === undefined || numpy === undefined || torch === undefined || parts.length > 4) {
    throw new InvalidArgumentError('It must be one seed, or python,numpy,torch,fewshot.');
  }
  return [random, numpy, torch, fewshot];
}

function seed(text: string): number | null {
  const word = text.trim();
  return word.toLowerCase() === 'none' ? null : wholeNumber(word);
}

/** Document indices by task: a JSON object, or the path of a file with one. */
export function samples(text: string): ReadonlyMap<string, readonly number[]> {
  const entries = Object.entries(jsonObject(text.trimStart().startsWith('{') ? text : read(text)));
  return new Map(
    entries.map(([task, indices]): [string, number[]] => {
      const isList = Array.isArray(indices) && indices.every((i) => Number.isInteger(i) && i >= 0);
      if (isList && indices.length > 0) return [task, indices];
      throw new InvalidArgumentError(`Expected a list of indices from 0 for ${task}.`);
    }),
  );
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    throw new InvalidArgumentError(
      'It must be a JSON object of task: [indices], or a file of one.',
    );
  }
}

function jsonObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch {
    // Reported below.
  }
  const object = asRecord(value);
  if (object) return object;
  throw new InvalidArgumentError('Expected a JSON object.');
}
