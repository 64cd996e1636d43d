// The argument of decode: token ids.
import { InvalidArgumentError } from '@rene-js/layers/errors';
import { describe } from '../describe.js';

/** @throws InvalidArgumentError for what is no list of whole numbers */
export function* tokenIds(ids: Iterable<number>, argument: string): Generator<number, void, void> {
  const isList = typeof ids === 'object' && ids !== null && Symbol.iterator in ids;
  if (!isList)
    throw new InvalidArgumentError(argument, 'token ids such as [1, 2, 3]', describe(ids));
  let i = 0;
  for (const id of ids) {
    if (!Number.isInteger(id)) {
      throw new InvalidArgumentError(`${argument}[${i}]`, 'a token id', describe(id));
    }
    i++;
    yield id;
  }
}
