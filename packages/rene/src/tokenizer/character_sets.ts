// Character classes in JavaScript's `v` mode with the meaning that they have in Rust.
import type { CharacterClassElementNode, CharacterSetNode } from 'oniguruma-parser/parser';
import { TokenizerError } from '../errors.js';
import { codePoint, foldCase } from './case_folding.js';
import { NEWER_PUNCTUATION } from './older_unicode.js';

/** Rust's char::is_whitespace: JavaScript's \s has U+FEFF too, and lacks U+0085. */
export const WHITE_SPACE = '\\p{White_Space}';
/** \w of Rust's regex crate. */
export const WORD = '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]';
/** ASCII symbols count as punctuation. Two characters were punctuation in older Unicode tables. */
export const PUNCTUATION = `[[\\p{P}--[${NEWER_PUNCTUATION}]]!-\\/:-@\\[-\`\\{-~\\u166d\\u{111c9}]`;

/** Any code point. Node 20 treats `[^]*` in `v` mode as no character. */
export const ANY = '\\p{Any}';
const WORD_IN_CLASS = '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]';
/** Outside classes, Oniguruma's table of Latin-1 also has superscript digits and fractions. */
export const WORD_OUTSIDE =
  '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u00b2\\u00b3\\u00b9\\u00bc-\\u00be]';
const GRAPH = '[^\\p{White_Space}\\p{Cc}\\p{Cs}\\p{Cn}]';
const HEX = '[0-9A-Fa-f]';

/** Oniguruma's POSIX classes, and properties with their names. */
const NAMED: Readonly<Record<string, string>> = {
  alnum: '[\\p{Alphabetic}\\p{Nd}]',
  alpha: '\\p{Alphabetic}',
  ascii: '\\p{ASCII}',
  blank: '[\\p{Zs}\\t]',
  cntrl: '\\p{Cc}',
  digit: '\\p{Nd}',
  graph: GRAPH,
  lower: '\\p{Lowercase}',
  print: `[${GRAPH}\\p{Zs}]`,
  punct: '[\\p{P}\\p{S}]',
  space: WHITE_SPACE,
  upper: '\\p{Uppercase}',
  word: WORD_IN_CLASS,
  xdigit: HEX,
};

/** Options of a character set. */
export interface SetFlags {
  readonly ignoreCase: boolean;
  /** `.` also matches a line feed. */
  readonly dotAll: boolean;
}

/** The source of a set that matches one code point. @throws TokenizerError */
export function setSource(node: CharacterClassElementNode, flags: SetFlags): string {
  return classElement(node, flags, false);
}

function classElement(
  node: CharacterClassElementNode,
  flags: SetFlags,
  isInClass: boolean,
): string {
  switch (node.type) {
    case 'Character':
      return folded(codePoint(node.value), flags);
    case 'CharacterClassRange':
      return folded(`${codePoint(node.min.value)}-${codePoint(node.max.value)}`, flags);
    case 'CharacterSet':
      return characterSet(node, flags, isInClass);
    case 'CharacterClass': {
      const members = node.body.map((element) => classElement(element, flags, true));
      // The operands of an intersection are nested classes.
      const body = members.join(node.kind === 'intersection' ? '&&' : '');
      if (members.length === 0) return node.negate ? ANY : '[]';
      return node.negate ? `[^${body}]` : `[${body}]`;
    }
    default:
      return node satisfies never;
  }
}

function folded(member: string, { ignoreCase }: SetFlags): string {
  const source = `[${member}]`;
  return ignoreCase ? foldCase(source) : source;
}

function characterSet(node: CharacterSetNode, flags: SetFlags, isInClass: boolean): string {
  switch (node.kind) {
    case 'any':
      return ANY;
    case 'dot':
      return flags.dotAll ? ANY : '[^\\n]';
    case 'newline': // \N; \R is of variable length and no set
      return '[^\\n]';
    case 'digit':
      return negated('\\p{Nd}', node.negate);
    case 'hex':
      return negated(HEX, node.negate);
    case 'space':
      return negated(WHITE_SPACE, node.negate);
    case 'word':
      return negated(isInClass ? WORD_IN_CLASS : WORD_OUTSIDE, node.negate);
    case 'posix': {
      const isWord = node.value === 'word' && !isInClass; // \p{Word}
      const source = isWord ? WORD_OUTSIDE : caseOf(namedSet(node.value), flags);
      return negated(source, node.negate);
    }
    case 'property':
      return negated(propertySet(node.value), node.negate);
    default:
      throw new TokenizerError(`a regular expression with \\X is not supported`);
  }
}

/** [[:upper:]] and [[:lower:]] ignore case if the expression does; properties do not. */
function caseOf(source: string, { ignoreCase }: SetFlags): string {
  return ignoreCase ? foldCase(`[${source}]`) : source;
}

function negated(source: string, negate = false): string {
  return negate ? `[^${source}]` : source;
}

function namedSet(name: string): string {
  const source = NAMED[name.toLowerCase()];
  if (source === undefined) throw unknownName(name);
  return source;
}

function propertySet(name: string): string {
  const plain = name.toLowerCase().replace(/[\s_-]/g, '');
  if (plain === 'punct') return '\\p{P}';
  if (Object.hasOwn(NAMED, plain)) return namedSet(plain);
  for (const spelled of [`\\p{${name}}`, `\\p{Script=${name}}`]) {
    if (/^[\w=]+$/.test(name) && compiles(spelled)) return spelled;
  }
  throw unknownName(name);
}

function compiles(source: string): boolean {
  try {
    new RegExp(source, 'v');
    return true;
  } catch {
    return false;
  }
}

function unknownName(name: string): TokenizerError {
  return new TokenizerError(`a regular expression with \\p{${name}} is not supported`);
}
