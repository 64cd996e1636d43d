// Token ids of prompts, as users give them.
import { InvalidArgumentError } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { describe } from '../describe.js';
import type { RecurrentState } from '../state.js';
import { wrongId } from '../token_ids.js';

/**
 * One or several prompts, as a list.
 *
 * @param ids token ids, or lists of them; typed arrays are accepted
 * @throws InvalidArgumentError for other values
 */
export function toPrompts(ids: unknown): number[][] {
  const entries = listOf(ids, 'ids', 'token ids such as [1, 2, 3], or a list of such prompts');
  if (!entries.some(isList)) return [toPrompt(entries)];
  return entries.map((entry, i) => toPrompt(entry, `ids[${i}]`));
}

/** The token ids of one prompt. @throws InvalidArgumentError */
export function toPrompt(ids: unknown, name = 'ids'): number[] {
  return listOf(ids, name, 'token ids such as [1, 2, 3]').map((id, i) => {
    if (typeof id === 'number') return id;
    const advice =
      typeof id === 'bigint' ? '; convert them: Array.from(ids, Number)' : adviceFor(id);
    throw new InvalidArgumentError(`${name}[${i}]`, 'a token id', `${describe(id)}${advice}`);
  });
}

function listOf(ids: unknown, name: string, expected: string): unknown[] {
  if (isList(ids)) return [...ids];
  throw new InvalidArgumentError(name, expected, `${describe(ids)}${adviceFor(ids)}`);
}

function isList(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value;
}

/** Advice for values that users of other libraries pass. */
function adviceFor(ids: unknown): string {
  if (typeof ids === 'string') return '; encode a text with tokenizer.encode(text)';
  if (ids instanceof tf.Tensor) return '; give its values: await ids.array()';
  const isEncoding = typeof ids === 'object' && ids !== null && 'input_ids' in ids;
  return isEncoding ? '; give its input_ids as lists' : '';
}

/** @throws InvalidArgumentError naming the prompt, or the state if it does not fit the prompts */
export function checkPrompts(
  prompts: readonly (readonly number[])[],
  vocabSize: number,
  state?: RecurrentState,
): void {
  if (prompts.length === 0) throw new InvalidArgumentError('ids', 'at least one prompt', 'none');
  for (const [i, prompt] of prompts.entries()) {
    const name = prompts.length > 1 ? `ids[${i}]` : 'ids';
    if (prompt.length === 0) {
      throw new InvalidArgumentError(name, 'at least one token', 'an empty prompt');
    }
    const wrong = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (wrong !== undefined) {
      throw wrongId(name, wrong, vocabSize);
    }
  }
  if (state && state.batch !== 1 && state.batch !== prompts.length) {
    const expected = `a state of ${prompts.length} rows, one a prompt, or of 1 for all`;
    throw new InvalidArgumentError('state', expected, `one of ${state.batch}`);
  }
}
