// A value as an error message shows it: its kind and the beginning of it, never a tensor's numbers.
// Without tfjs: a thread that only tokenizes need not load it.
import type { Tensor } from '@tensorflow/tfjs-core';

const MAX_LENGTH = 60;

/** A short description in one line: -1, 'text', [1, 2, 3], a tensor int32 [2, 3], a function. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return shortened(`'${value}'`);
  if (typeof value === 'bigint') return shortened(`${value}n`);
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'symbol') return 'a symbol';
  if (typeof value !== 'object' || value === null) return String(value);
  if (isTensor(value)) return `a tensor ${value.dtype} [${value.shape.join(', ')}]`;
  if (Array.isArray(value)) {
    const list: readonly unknown[] = value;
    return shortened(`[${list.slice(0, MAX_LENGTH).map(describe).join(', ')}]`);
  }
  if (value instanceof Promise) return 'a promise (await it)';
  const name = value.constructor?.name ?? 'Object';
  if (name !== 'Object') return `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`;
  return shortened(`an object with ${Object.keys(value).join(', ') || 'nothing in it'}`);
}

function isTensor(value: object): value is Tensor {
  return 'dataId' in value && 'dtype' in value && 'shape' in value && Array.isArray(value.shape);
}

function shortened(text: string): string {
  const line = text.replace(/\s+/g, ' ');
  return line.length > MAX_LENGTH ? `${line.slice(0, MAX_LENGTH - 3)}...` : line;
}
