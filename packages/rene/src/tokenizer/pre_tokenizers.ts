// Pre-tokenizers: split a normalised text into words.
import { toByteCharacters } from './byte_alphabet.js';
import { PUNCTUATION, WHITE_SPACE, WORD } from './character_sets.js';
import type { Fields } from './fields.js';
import { NativePattern, type Pattern } from './native_pattern.js';
import { readPattern, StringPattern } from './pattern.js';
import { SPLIT_BEHAVIORS, type SplitBehavior, split } from './split.js';

/** A nonempty part of the text. */
export interface Piece {
  readonly text: string;
  /** Whether it is at the beginning of the text. */
  readonly isFirst: boolean;
}

export type PreTokenizer = (piece: Piece) => Iterable<Piece>;

/** @throws TokenizerError */
export function readPreTokenizer(fields: Fields): PreTokenizer {
  const type = fields.string('type');
  switch (type) {
    case 'Sequence':
      return inTurn(fields.objects('pretokenizers').map(readPreTokenizer));
    case 'ByteLevel':
      return byteLevel(fields);
    case 'Metaspace':
      return metaspace(fields);
    case 'Split':
      return splitter(
        readPattern(fields),
        fields.choice('behavior', SPLIT_BEHAVIORS, 'Isolated'),
        fields.boolean('invert', false),
      );
    case 'Whitespace':
      return splitter(characters(`${WORD}+|[^${WORD}${WHITE_SPACE}]+`), 'Removed', true);
    case 'WhitespaceSplit':
      return splitter(characters(WHITE_SPACE), 'Removed');
    case 'BertPreTokenizer':
      return inTurn([
        splitter(characters(WHITE_SPACE), 'Removed'),
        splitter(characters(PUNCTUATION), 'Isolated'),
      ]);
    case 'Punctuation': {
      const behavior = fields.choice('behavior', SPLIT_BEHAVIORS, 'Isolated');
      return splitter(characters(PUNCTUATION), behavior);
    }
    case 'Digits': {
      const isAlone = fields.boolean('individual_digits', false);
      return splitter(characters('\\p{N}'), isAlone ? 'Isolated' : 'Contiguous');
    }
    case 'CharDelimiterSplit':
      return splitter(new StringPattern(fields.character('delimiter', ' ')), 'Removed');
    case 'FixedLength':
      return fixedLength(fields.count('length', 5));
    default:
      return fields.refuseType('pre-tokenizer');
  }
}

function inTurn(preTokenizers: readonly PreTokenizer[]): PreTokenizer {
  return preTokenizers.reduceRight<PreTokenizer>(
    (next, first) =>
      function* (piece) {
        for (const part of first(piece)) yield* next(part);
      },
    (piece) => [piece],
  );
}

function splitter(pattern: Pattern, behavior: SplitBehavior, invert = false): PreTokenizer {
  return function* ({ text, isFirst }) {
    for (const { start, end } of split(text, pattern, behavior, invert)) {
      yield { text: text.slice(start, end), isFirst: isFirst && start === 0 };
    }
  };
}

/** A built-in pattern, which is not from the file. */
function characters(source: string): Pattern {
  return new NativePattern(new RegExp(source, 'gv'));
}

const GPT2_WORDS =
  `'(?:[stmd]|re|ve|ll)| ?\\p{L}+| ?\\p{N}+| ?[^${WHITE_SPACE}\\p{L}\\p{N}]+` +
  `|${WHITE_SPACE}+(?!\\P{White_Space})|${WHITE_SPACE}+`;

function byteLevel(fields: Fields): PreTokenizer {
  const addsSpace = fields.boolean('add_prefix_space', true);
  const words = fields.boolean('use_regex', true) ? characters(GPT2_WORDS) : undefined;
  return function* ({ text, isFirst }) {
    const spaced = addsSpace && !text.startsWith(' ') ? ` ${text}` : text;
    if (!words) {
      yield { text: toByteCharacters(spaced), isFirst };
      return;
    }
    for (const { start, end } of split(spaced, words, 'Isolated')) {
      const word = toByteCharacters(spaced.slice(start, end));
      yield { text: word, isFirst: isFirst && start === 0 };
    }
  };
}

function metaspace(fields: Fields): PreTokenizer {
  const mark = fields.character('replacement', '▁');
  const scheme = prependScheme(fields);
  const atMarks = fields.boolean('split', true)
    ? splitter(new StringPattern(mark), 'MergedWithNext')
    : undefined;
  return ({ text, isFirst }) => {
    const marked = text.replaceAll(' ', mark);
    const isPrefixed = scheme === 'always' || (scheme === 'first' && isFirst);
    const prefix = isPrefixed && !marked.startsWith(mark) ? mark : '';
    const piece = { text: prefix + marked, isFirst };
    return atMarks ? atMarks(piece) : [piece];
  };
}

/** Files from before 2024 use add_prefix_space instead. */
export function prependScheme(fields: Fields): 'always' | 'first' | 'never' {
  const otherwise = fields.boolean('add_prefix_space', true) ? 'always' : 'never';
  return fields.choice('prepend_scheme', ['always', 'first', 'never'], otherwise);
}

function fixedLength(length: number): PreTokenizer {
  return function* ({ text, isFirst }) {
    const all = [...text];
    for (let i = 0; i < all.length; i += Math.max(1, length)) {
      const part = all.slice(i, i + Math.max(1, length)).join('');
      yield { text: part, isFirst: isFirst && i === 0 };
    }
  };
}
