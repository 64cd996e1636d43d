// Looks for stop strings in the text of new tokens, wherever the borders of tokens are.
import type { Tokenizer } from '../tokenizer.js';

/** Watches the new tokens of one sequence. */
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

  /** Whether the text ends or contains a stop string once this token is there. */
  push(id: number): boolean {
    const text = this.tail + this.stream.push(id);
    this.tail = text.slice(-this.longest);
    return this.stopStrings.some((stop) => text.includes(stop));
  }
}

/**
 * Passes text on up to the first stop string. Text that may be a stop string's beginning is held
 * back until it is clear.
 */
export class StopStringFilter {
  /** A stop string has come; nothing more passes. */
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

  /** What was held back, when the text ends without more. */
  end(): string {
    const rest = this.stopped ? '' : this.held;
    this.held = '';
    return rest;
  }

  /** Length of the longest end of the text that a stop string begins with. */
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

/** Half a surrogate pair never comes, and would cut a character in two. */
function wholeCharacters(stopStrings: readonly string[]): readonly string[] {
  return stopStrings.filter((text) => !/\p{Surrogate}/u.test(text));
}
