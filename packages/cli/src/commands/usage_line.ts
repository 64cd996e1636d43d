// Formats usage errors. It has no imports, so that a usage error loads nothing else.

/** A usage error in one line that ends with a pointer to the help. */
export function usageLine(message: string, verb: string | undefined): string {
  const text = message
    .replace(/^error: /, '')
    .trim()
    .replace(/\s*\n\s*/g, ' ');
  return `error: ${inOurWords(text)} (see rene ${verb === undefined ? '' : `${verb} `}--help)\n`;
}

/** Rewrites commander's messages as "NAME: expected ..., found ...". */
function inOurWords(text: string): string {
  const [, most = '', count = ''] =
    /^too many arguments.*\. Expected (\d+) arguments? but got (\d+)\.$/.exec(text) ?? [];
  if (most === '0') return `expected options only, found ${counted(count)}`;
  if (most !== '') {
    return `expected at most ${counted(most)}, found ${count}; put an argument with spaces in quotes`;
  }
  const [, bare = ''] = /^option '(.+)' argument missing$/.exec(text) ?? [];
  if (bare !== '') {
    const placeholder = /<.+>/.exec(bare)?.[0] ?? 'a value';
    return `${nameOf(bare)}: expected ${placeholder}, found nothing`;
  }
  const refused =
    /^(?:option|command-argument) '(.+?)' argument '(.*)' is invalid\. (.*?)\.?$/.exec(text);
  if (!refused) return text;
  const [, flags = '', value = '', reason = ''] = refused;
  const expected = reason
    .replace(/^It must be /, 'expected ')
    .replace(/^Allowed choices are /, 'expected one of ')
    .replace(/^Expected /, 'expected ');
  return `${nameOf(flags)}: ${expected}${/\bfound\b/.test(expected) ? '' : `, found ${value || "''"}`}`;
}

/** The name of an option, of its flags: --number, of '-n, --number <n>'. */
function nameOf(flags: string): string {
  return /--[\w-]+/.exec(flags)?.[0] ?? flags;
}

function counted(count: string): string {
  return `${count} argument${count === '1' ? '' : 's'}`;
}
