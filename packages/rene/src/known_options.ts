// Refuses options that nobody reads: a misspelt one would otherwise change nothing without a word.
import { InvalidArgumentError } from '@rene-js/layers';
import { describe } from './describe.js';

/**
 * @param options what the user gave
 * @param known the names of all options
 * @param argument what the error calls the options
 * @param elsewhere names that other libraries have for an option, and what to do instead
 * @throws InvalidArgumentError for the first option that is not known
 */
export function refuseUnknownOptions(
  options: object,
  known: Readonly<Record<string, unknown>>,
  argument = 'options',
  elsewhere: Readonly<Record<string, string>> = {},
): void {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidArgumentError(argument, 'an object', describe(options));
  }
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(known, name)) continue;
    const camel = name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    const hint =
      (Object.hasOwn(elsewhere, name) && elsewhere[name]) ||
      (Object.hasOwn(known, camel) ? camel : `one of ${Object.keys(known).join(', ')}`);
    throw new InvalidArgumentError(argument, hint, name);
  }
}
