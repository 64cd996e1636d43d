// Finds stop strings in the text of new tokens, also across token borders.
import type { Tokenizer } from '../tokenizer.js';

/** Follows the new tokens of one sequence. */
export class StopStringWatcher {
  private readonly stream;
  private readonly stopStrings: readonly string[];
  private readonly longest: number;
  private tail = '';

  /** @param promptIds tokens before the new ones */
  constructor(
    stopStrings: readonly string[],
    tokenizer: Pick<Tokenizer, 'decodeStream'>,
    promptIds: readonly number[] = [],
  ) {
    this.stream = tokenizer.decodeStream({ promptIds });
    this.stopStrings = wholeCharacters(stopStrings);
    this.longest = Math.max(0, ...stopStrings.map((text) => text.length));
  }

  /** Adds a token. Returns whether the text then contains a stop string. */
  push(id: number): boolean {
    const text = this.tail + this.stream.push(id);
    this.tail = text.slice(-this.longest);
    return this.stopStrings.some((stop) => text.includes(stop));
  }
}

/** Passes text up to the first stop string. Holds back text that may be the start of a stop string. */
export class StopStringFilter {
  /** A stop string was found. Nothing more passes. */
  stopped = false;
  private held = '';
  private readonly stopStrings: readonly string[];

  constructor(stopStrings: readonly string[]) {
    this.stopStrings = wholeCharacters(stopStrings);
  }

  push(text: string): string {
    if (this.stopped) return '';
    const all = this.held + text;
    const found = this.stopStrings.map((stop) => all.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.stopped = true;
      return all.slice(0, Math.min(...found));
    }
    const clear = all.length - this.beginningAtEnd(all);
    this.held = all.slice(clear);
    return all.slice(0, clear);
  }

  /** The text held back, once no more text comes. */
  end(): string {
    const rest = this.stopped ? '' : this.held;
    this.held = '';
    return rest;
  }

  /** Length of the longest suffix of the text with which a stop string begins. */
  private beginningAtEnd(text: string): number {
    let longest = 0;
    for (const stop of this.stopStrings) {
      for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
        if (text.endsWith(stop.slice(0, n))) longest = n;
      }
    }
    return longest;
  }
}

/** A stop string starting with a low surrogate would cut a character in two. */
function wholeCharacters(stopStrings: readonly string[]): readonly string[] {
  return stopStrings.filter((text) => !/\p{Surrogate}/u.test(text));
}
