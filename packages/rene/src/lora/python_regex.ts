// Translates Python regular expressions for module names to JavaScript.

/**
 * A regular expression that matches like Python's `re.fullmatch(source, text)`.
 *
 * @throws SyntaxError for syntax that JavaScript lacks, such as possessive quantifiers
 */
export function pythonFullMatch(source: string): RegExp {
  const { pattern, flags } = translate(source);
  return new RegExp(`^(?:${pattern})$`, flags);
}

/** Matches like PEFT's `re.match(rf"(.*\.)?({source})$", text)`. @throws SyntaxError */
export function peftPatternMatch(source: string): RegExp {
  const { pattern, flags } = translate(source);
  // Both groups capture, as in Python, so that backreferences have the same numbers.
  return new RegExp(`^(.*\\.)?(${pattern})$`, flags);
}

/** Translates Python's syntax to JavaScript's; common syntax is unchanged. */
export function translate(source: string): { pattern: string; flags: string } {
  const [inline = '', letters = ''] = /^\(\?([aiLmsux]+)\)/.exec(source) ?? [];
  if (letters.includes('x')) throw new SyntaxError('verbose patterns, (?x), are not supported');
  const flags = ['i', 'm', 's'].filter((flag) => letters.includes(flag)).join('');
  let pattern = '';
  let inClass = false;
  for (let i = inline.length; i < source.length; i++) {
    const rest = source.slice(i);
    const [escaped] = /^\\[\s\S]/.exec(rest) ?? [];
    if (escaped !== undefined) {
      i++;
      if (!inClass && escaped === '\\A') pattern += '(?<![\\s\\S])';
      else if (!inClass && escaped === '\\Z') pattern += '(?![\\s\\S])';
      else pattern += escaped;
      continue;
    }
    if (inClass) {
      inClass = rest[0] !== ']';
      // A bracket inside a class is literal in both; JavaScript ends the class at the first ].
      pattern += rest[0];
      continue;
    }
    const [opening, name] =
      /^\(\?P<(\w+)>/.exec(rest) ?? /^\(\?P=(\w+)\)/.exec(rest) ?? ([] as string[]);
    if (opening !== undefined) {
      pattern += opening.startsWith('(?P<') ? `(?<${name}>` : `\\k<${name}>`;
      i += opening.length - 1;
      continue;
    }
    const [comment] = /^\(\?#[^)]*\)/.exec(rest) ?? [];
    if (comment !== undefined) {
      i += comment.length - 1;
      continue;
    }
    if (/^\{,\d+\}/.test(rest)) {
      pattern += '{0';
      continue;
    }
    if (rest[0] === '[') {
      inClass = true;
      // In Python, ] is literal as the first character of a class.
      const [start = '['] = /^\[\^?\]?/.exec(rest) ?? [];
      pattern += start.endsWith(']') ? `${start.slice(0, -1)}\\]` : start;
      i += start.length - 1;
      continue;
    }
    pattern += rest[0];
  }
  return { pattern, flags };
}
