// Formats usage errors. It has no imports, so that a usage error loads nothing else.

/** A usage error in one line that ends with a pointer to the help. */
export function usageLine(message: string, verb: string | undefined): string {
  const text = message
    .replace(/^error: /, '')
    .trim()
    .replace(/\s*\n\s*/g, ' ');
  return `error: ${inOurWords(text)} (see rene ${verb === undefined ? '' : `${verb} `}--help)\n`;
}

/** Rewrites commander's "option '-n, --number <n>' argument 'x' is invalid. It must be ..." in our format. */
function inOurWords(text: string): string {
  const refused =
    /^(?:option|command-argument) '(.+?)' argument '(.*)' is invalid\. (.*?)\.?$/.exec(text);
  if (!refused) return text;
  const [, flags = '', value = '', reason = ''] = refused;
  const name = /--[\w-]+/.exec(flags)?.[0] ?? flags;
  const expected = reason
    .replace(/^It must be /, 'expected ')
    .replace(/^Allowed choices are /, 'expected one of ')
    .replace(/^Expected /, 'expected ');
  return `${name}: ${expected}${/\bfound\b/.test(expected) ? '' : `, found ${value || "''"}`}`;
}
