// Patterns of a tokenizer.json: a string, or a regular expression.
import { TokenizerError } from '../errors.js';
import { asRecord } from '../json.js';
import type { Fields } from './fields.js';
import { NEWER_THAN_REGEX } from './older_unicode.js';
import type { Regex } from './regex.js';
import { RegexMachine } from './regex_machine.js';
import { nativeRegex } from './regex_native.js';
import { parseRegex } from './regex_tree.js';

/** Finds matches in a text. */
export interface Pattern {
  /** Finds the first match from a position on, and sets `start` and `end`. @throws TokenizerError */
  find(text: string, from: number): boolean;
  readonly start: number;
  readonly end: number;
}

/** `{ "String": … }` or `{ "Regex": … }`. @throws TokenizerError */
export function readPattern(fields: Fields): Pattern {
  const pattern = fields.object('pattern');
  if (pattern.has('Regex')) return new RegexPattern(pattern.string('Regex'));
  const text = pattern.string('String');
  return new StringPattern(text);
}

/** Whether a component has a regular expression that may be slow for a short text. */
export function hasSlowRegex(json: unknown): boolean {
  if (Array.isArray(json)) return json.some(hasSlowRegex);
  const values = asRecord(json) ?? {};
  return Object.entries(values).some(([name, value]) =>
    name === 'Regex' && typeof value === 'string'
      ? !new RegexPattern(value).isFast
      : hasSlowRegex(value),
  );
}

/** All matches, in order. An empty match may not directly follow another match. */
export function* matches(pattern: Pattern, whole: string): Generator<void, void, void> {
  // Replaces characters that the library does not know by unassigned ones of equal length.
  const text = pattern instanceof StringPattern ? whole : whole.replace(UNKNOWN, unassigned);
  let lastEnd = -1;
  for (let from = 0; from <= text.length && pattern.find(text, from); ) {
    const { start, end } = pattern;
    if (start === end && end === lastEnd) {
      from = after(text, from);
      continue;
    }
    from = end;
    lastEnd = end;
    yield;
  }
}

function unassigned(character: string): string {
  return character.length > 1 ? '\u{1ffff}' : '\ufdd0';
}

const UNKNOWN = new RegExp(`[${NEWER_THAN_REGEX}]`, 'gv');

/** The text with each match replaced. */
export function replaceAll(text: string, pattern: Pattern, content: string): string {
  let replaced = '';
  let from = 0;
  for (const _ of matches(pattern, text)) {
    replaced += text.slice(from, pattern.start) + content;
    from = pattern.end;
  }
  return from === 0 && replaced === '' ? text : replaced + text.slice(from);
}

export class StringPattern implements Pattern {
  start = 0;
  end = 0;

  constructor(readonly text: string) {}

  find(text: string, from: number): boolean {
    this.start = text.indexOf(this.text, from);
    this.end = this.start + this.text.length;
    return this.start >= 0;
  }
}

/** A JavaScript regular expression. */
export class NativePattern implements Pattern {
  start = 0;
  end = 0;

  /** @param regex global, or sticky: then it matches at `from` or not at all */
  constructor(private readonly regex: RegExp) {}

  find(text: string, from: number): boolean {
    let place = from;
    for (;;) {
      this.regex.lastIndex = place;
      const found = this.regex.exec(text);
      if (!found) return false;
      this.start = found.index;
      this.end = found.index + found[0].length;
      if (!isInsidePair(text, this.start)) return true;
      // V8 also matches assertions between the halves of a surrogate pair.
      place = this.start + 1;
    }
  }
}

/** A regular expression of a tokenizer.json. */
export class RegexPattern implements Pattern {
  start = 0;
  end = 0;
  /** Whether the search time is bounded for any text. */
  readonly isFast: boolean;
  private readonly regex: Regex;
  private readonly native: NativePattern | undefined;
  private readonly failsFast: boolean;
  private machine: RegexMachine | undefined;

  /** @throws TokenizerError */
  constructor(private readonly source: string) {
    this.regex = parseRegex(source);
    const native = nativeRegex(this.regex);
    this.isFast = native !== undefined;
    this.failsFast = native?.failsFast ?? false;
    if (native) {
      this.native = new NativePattern(new RegExp(native.source, native.failsFast ? 'gv' : 'yv'));
    } else {
      this.machine = new RegexMachine(this.regex, source);
    }
  }

  find(text: string, from: number): boolean {
    const found = this.findIn(text, from);
    this.start = found?.start ?? 0;
    this.end = found?.end ?? 0;
    return found !== undefined;
  }

  private findIn(text: string, from: number): Pattern | undefined {
    const { native } = this;
    let place = from;
    if (native) {
      try {
        if (this.failsFast) return native.find(text, from) ? native : undefined;
        // A failing attempt may scan the remaining text: after many attempts, steps are counted.
        const last = Math.min(text.length, from + MAX_FAILURES);
        for (; place <= last; place = after(text, place)) {
          if (native.find(text, place)) return native;
        }
      } catch (cause) {
        // The engine's backtracking memory is bounded.
        if (!(cause instanceof RangeError)) throw cause;
        const length = `${text.length} characters`;
        throw new TokenizerError(`a text of ${length} is too long for the tokenizer`, { cause });
      }
    }
    if (place > text.length) return undefined;
    this.machine ??= new RegexMachine(this.regex, this.source);
    return this.machine.find(text, place) ? this.machine : undefined;
  }
}

const MAX_FAILURES = 100;

function after(text: string, at: number): number {
  return at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
}

function isInsidePair(text: string, at: number): boolean {
  return at > 0 && (text.codePointAt(at - 1) ?? 0) > 0xffff;
}
