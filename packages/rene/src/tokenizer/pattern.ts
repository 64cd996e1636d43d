// Patterns of a tokenizer.json: a string, or a regular expression.
import { asRecord } from '../json.js';
import type { Fields } from './fields.js';
import { after, type Pattern } from './native_pattern.js';
import { NEWER_THAN_REGEX } from './older_unicode.js';
import { compileRegex } from './regex_engine.js';

/** `{ "String": … }` or `{ "Regex": … }`. @throws TokenizerError */
export function readPattern(fields: Fields): Pattern {
  const pattern = fields.object('pattern');
  if (pattern.has('Regex')) return compileRegex(pattern.string('Regex'));
  const text = pattern.string('String');
  return new StringPattern(text);
}

/** Whether a component has a regular expression. */
export function hasRegex(json: unknown): boolean {
  if (Array.isArray(json)) return json.some(hasRegex);
  const entries = Object.entries(asRecord(json) ?? {});
  return entries.some(([name, value]) => name === 'Regex' || hasRegex(value));
}

/** Whether a component has a regular expression that may be slow for a short text. */
export function hasSlowRegex(json: unknown): boolean {
  if (Array.isArray(json)) return json.some(hasSlowRegex);
  const values = asRecord(json) ?? {};
  return Object.entries(values).some(([name, value]) =>
    name === 'Regex' && typeof value === 'string'
      ? !compileRegex(value).isFast
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
