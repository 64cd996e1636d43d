// Refuses unknown options, so that a misspelt option is not ignored silently.
import { InvalidArgumentError } from '@rene-js/layers/errors';
import { describe } from './describe.js';

/** The type of an option's value; true where it is checked elsewhere. */
export type OptionType = true | 'boolean' | 'function' | 'number' | 'object' | 'string';

/**
 * @param options options as the user gave them
 * @param known the names and types of all options
 * @param argument name of the options argument, for errors
 * @param elsewhere names of the options in other libraries, with advice
 * @throws InvalidArgumentError for the first option that is unknown or has a wrong type
 */
export function refuseUnknownOptions(
  options: object,
  known: Readonly<Record<string, OptionType>>,
  argument = 'options',
  elsewhere: Readonly<Record<string, string>> = {},
): void {
  checkIsOptions(options, argument);
  for (const [name, value] of Object.entries(options)) {
    if (Object.hasOwn(known, name)) {
      checkType(argument === 'options' ? name : `${argument}.${name}`, value, known[name] ?? true);
      continue;
    }
    const camel = name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    const hint =
      (Object.hasOwn(elsewhere, name) && elsewhere[name]) ||
      (Object.hasOwn(known, camel) ? camel : `one of ${Object.keys(known).join(', ')}`);
    throw new InvalidArgumentError(argument, hint, name);
  }
}

/** @throws InvalidArgumentError for a value that is not an object of options */
export function checkIsOptions(options: unknown, argument = 'options'): void {
  // Entries of a list or a Map are not options.
  const isObject = typeof options === 'object' && options !== null && !(Symbol.iterator in options);
  if (!isObject) throw new InvalidArgumentError(argument, 'an object', describe(options));
}

function checkType(argument: string, value: unknown, type: OptionType): void {
  if (value === undefined || type === true) return;
  if (typeof value === type && value !== null && !Number.isNaN(value)) return;
  const expected =
    type === 'boolean' ? 'true or false' : `${type === 'object' ? 'an' : 'a'} ${type}`;
  // Values of secret options are never shown.
  const found = /token$/i.test(argument) ? typeof value : describe(value);
  throw new InvalidArgumentError(argument, expected, found);
}
