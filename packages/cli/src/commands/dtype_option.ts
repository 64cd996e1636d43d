// Parses a weight format, by our name or another library's.

import { WEIGHT_FORMATS, weightFormatOrAuto } from '@rene-js/rene/internal/startup';
import { InvalidArgumentError } from 'commander';

/** The formats that a model can be loaded in. */
export const LOAD_FORMATS = ['auto', ...WEIGHT_FORMATS] as const;

/** A parser for an option that takes these formats. 'float16' means f16, 'q4' means int4, and so on. */
export function formatFrom<F extends (typeof LOAD_FORMATS)[number]>(
  allowed: readonly F[],
): (text: string) => F {
  return (text) => {
    const found = allowed.find((format) => format === meaningOf(text));
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`Expected one of ${allowed.join(', ')}.`);
  };
}

function meaningOf(text: string): string | undefined {
  try {
    return weightFormatOrAuto(text);
  } catch {
    return undefined;
  }
}
