// A regular expression of a tokenizer.json: run by JavaScript's engine, or by our own where that could take too long.
import { TokenizerError } from '../errors.js';
import { after, NativePattern, type Pattern } from './native_pattern.js';
import type { Regex } from './regex.js';
import { RegexMachine } from './regex_machine.js';
import { nativeRegex } from './regex_native.js';
import { parseRegex } from './regex_tree.js';

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
