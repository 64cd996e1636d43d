// Parsers for numbers. The caller checks their ranges.
import { InvalidArgumentError } from 'commander';

export function number(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('It must be a number.');
}

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError('It must be a whole number.');
}

/** Like wholeNumber, with a minimum. */
export function wholeNumberFrom(least: number): (text: string) => number {
  return (text) => {
    const value = wholeNumber(text);
    if (value >= least) return value;
    throw new InvalidArgumentError(`It must be ${least} or more.`);
  };
}
