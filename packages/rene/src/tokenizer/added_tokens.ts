// Added tokens: texts with ids of their own, which are split off before tokenisation.
import { TokenizerError } from '../errors.js';
import { WORD } from './character_sets.js';
import type { Fields } from './fields.js';

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Skipped with skipSpecialTokens. */
  readonly special: boolean;
  /** Matched in the normalised text, by its normalised content. */
  readonly normalized: boolean;
  /** Not matched inside words. */
  readonly singleWord: boolean;
  /** Includes the white space before it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

/** @throws TokenizerError */
export function readAddedToken(fields: Fields): AddedToken {
  const content = fields.string('content');
  if (content === '') throw new TokenizerError(`${fields.where}.content: expected some text`);
  if (!fields.has('id')) fields.refuse('id', 'the id of the token');
  const special = fields.boolean('special', false);
  return {
    id: fields.count('id', 0),
    content,
    special,
    normalized: fields.boolean('normalized', !special),
    singleWord: fields.boolean('single_word', false),
    lstrip: fields.boolean('lstrip', false),
    rstrip: fields.boolean('rstrip', false),
  };
}

/** A part of a text: an added token, or the text between two. */
export interface Section {
  readonly token: AddedToken | undefined;
  readonly start: number;
  readonly end: number;
}

/** Finds added tokens: the leftmost match, and the longest at that position. */
export class AddedTokenFinder {
  private readonly root: Node = { next: new Map(), token: undefined };
  private longest = 0;

  /** @param entries texts to find, and their values */
  constructor(entries: Iterable<readonly [text: string, token: AddedToken]>) {
    for (const [text, token] of entries) {
      if (text !== '') this.add(text, token);
    }
  }

  /** The parts of a text, in order. */
  *sections(text: string): Generator<Section, void, void> {
    let from = 0;
    if (this.longest > 0) {
      for (let at = 0; at < text.length; ) {
        const found = this.longestAt(text, at);
        if (!found) {
          at++;
          continue;
        }
        const { token, end } = found;
        const start = at;
        at = end;
        if (token.singleWord && isInWord(text, start, end)) continue;
        const first = token.lstrip ? Math.max(spaceBefore(text, start), from) : start;
        const last = token.rstrip ? spaceAfter(text, end) : end;
        if (from < first) yield { token: undefined, start: from, end: first };
        yield { token, start: first, end: last };
        from = last;
      }
    }
    if (from < text.length) yield { token: undefined, start: from, end: text.length };
  }

  private add(text: string, token: AddedToken): void {
    let node = this.root;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      let next = node.next.get(unit);
      if (!next) {
        next = { next: new Map(), token: undefined };
        node.next.set(unit, next);
      }
      node = next;
    }
    node.token ??= token;
    this.longest = Math.max(this.longest, text.length);
  }

  private longestAt(text: string, start: number): { token: AddedToken; end: number } | undefined {
    let found: { token: AddedToken; end: number } | undefined;
    let node: Node | undefined = this.root.next.get(text.charCodeAt(start));
    for (let end = start + 1; node; end++) {
      if (node.token) found = { token: node.token, end };
      node = node.next.get(text.charCodeAt(end));
    }
    return found;
  }
}

interface Node {
  readonly next: Map<number, Node>;
  token: AddedToken | undefined;
}

const WORD_BEFORE = new RegExp(`(?<=${WORD})`, 'vy');
const WORD_AFTER = new RegExp(`(?=${WORD})`, 'vy');

function isInWord(text: string, start: number, end: number): boolean {
  WORD_BEFORE.lastIndex = start;
  WORD_AFTER.lastIndex = end;
  return WORD_BEFORE.test(text) || WORD_AFTER.test(text);
}

/** All white space is in the basic multilingual plane. */
const SPACE = /\p{White_Space}/u;

function spaceBefore(text: string, end: number): number {
  let start = end;
  while (start > 0 && SPACE.test(text[start - 1] ?? '')) start--;
  return start;
}

function spaceAfter(text: string, start: number): number {
  let end = start;
  while (end < text.length && SPACE.test(text[end] ?? '')) end++;
  return end;
}
