// Splits a text at matches of a pattern, as the tokenizers library does.
import type { Pattern } from './native_pattern.js';
import { matches } from './pattern.js';

/** Where a match goes: its own piece, a neighbour's, or nowhere. */
export const SPLIT_BEHAVIORS = [
  'Removed',
  'Isolated',
  'MergedWithPrevious',
  'MergedWithNext',
  'Contiguous',
] as const;

export type SplitBehavior = (typeof SPLIT_BEHAVIORS)[number];

/** A part of a text, by its borders in UTF-16 units. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * The nonempty pieces of a text in order.
 *
 * @param invert swaps matches and the text between them
 */
export function* split(
  text: string,
  pattern: Pattern,
  behavior: SplitBehavior,
  invert = false,
): Generator<Span, void, void> {
  let piece: Span | undefined;
  let wasMatch = false;
  for (const { start, end, isMatch } of parts(text, pattern, invert)) {
    if (behavior === 'Removed' && isMatch) continue;
    if (piece && joins(behavior, wasMatch, isMatch)) {
      piece = { start: piece.start, end };
    } else {
      if (piece && piece.start < piece.end) yield piece;
      piece = { start, end };
    }
    wasMatch = isMatch;
  }
  if (piece && piece.start < piece.end) yield piece;
}

/** Whether a part belongs to the previous piece. */
function joins(behavior: SplitBehavior, wasMatch: boolean, isMatch: boolean): boolean {
  switch (behavior) {
    case 'MergedWithPrevious':
      return isMatch && !wasMatch;
    case 'MergedWithNext':
      return !isMatch && wasMatch;
    case 'Contiguous':
      return isMatch === wasMatch;
    default:
      return false;
  }
}

interface Part extends Span {
  readonly isMatch: boolean;
}

function* parts(text: string, pattern: Pattern, invert: boolean): Generator<Part, void, void> {
  let from = 0;
  for (const _ of matches(pattern, text)) {
    const { start, end } = pattern;
    if (from < start) yield { start: from, end: start, isMatch: invert };
    yield { start, end, isMatch: !invert };
    from = end;
  }
  if (from < text.length) yield { start: from, end: text.length, isMatch: invert };
}
