// Patterns that JavaScript's engine runs.

/** Finds matches in a text. */
export interface Pattern {
  /** Finds the first match from a position on, and sets `start` and `end`. @throws TokenizerError */
  find(text: string, from: number): boolean;
  readonly start: number;
  readonly end: number;
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

/** The position of the next character. */
export function after(text: string, at: number): number {
  return at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
}

function isInsidePair(text: string, at: number): boolean {
  return at > 0 && (text.codePointAt(at - 1) ?? 0) > 0xffff;
}
