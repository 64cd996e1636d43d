// A backtracking regular expression matcher with a step limit, for expressions that JavaScript does not
// support or may backtrack on for too long.
import { TokenizerError } from '../errors.js';
import { WORD_OUTSIDE } from './character_sets.js';
import type { Assertion, Regex } from './regex.js';
import { CodePointSet, Compiler, type Instruction, MATCH_START } from './regex_program.js';
import { shown } from './regex_tree.js';

/** Steps per attempt, as in Oniguruma. */
const MAX_STEPS_AT_PLACE = 10_000_000;
/** Additional steps per text. */
const MAX_STEPS_PER_CHARACTER = 1000;

export class RegexMachine {
  /** Of the last match. */
  start = 0;
  end = 0;
  private readonly program: readonly Instruction[];
  private readonly compiler = new Compiler();
  private slots: number[] = [];
  private text = '';
  private searchStart = 0;
  private steps = 0;
  private maxSteps = 0;
  /** Steps left for the text. */
  private left = 0;

  constructor(
    regex: Regex,
    private readonly source: string,
  ) {
    this.program = this.compiler.compile(regex, false);
  }

  /**
   * Finds the first match from a position on.
   *
   * @throws TokenizerError if it takes too many steps
   */
  find(text: string, from: number): boolean {
    if (from === 0 || text !== this.text) {
      this.left = MAX_STEPS_AT_PLACE + MAX_STEPS_PER_CHARACTER * text.length;
    }
    this.text = text;
    this.searchStart = from;
    for (let place = from; place <= text.length; place = after(text, place)) {
      this.steps = 0;
      this.maxSteps = Math.min(this.left, MAX_STEPS_AT_PLACE);
      this.slots = new Array<number>(this.compiler.slotCount).fill(-1);
      const end = this.run(this.program, place);
      this.left -= this.steps;
      if (end >= 0) {
        const kept = this.slots[MATCH_START] ?? -1;
        this.start = kept < 0 ? place : kept;
        this.end = end;
        return true;
      }
    }
    return false;
  }

  /** The end of a match at a position; -1 for none. */
  private run(program: readonly Instruction[], from: number): number {
    const { text, slots } = this;
    // The backtracking stack, three numbers per entry: see BACK_TO and the others.
    const stack: number[] = [];
    let at = from;
    let next = 0;
    for (;;) {
      const instruction = program[next++];
      if (instruction === undefined) return at;
      if (++this.steps > this.maxSteps) throw this.tooLong(from);
      let isMatch = true;
      switch (instruction.op) {
        case 'set':
          isMatch = at < text.length && instruction.set.has(text.codePointAt(at) ?? 0);
          if (isMatch) at = after(text, at);
          break;
        case 'setBefore': {
          const place = before(text, at);
          isMatch = at > 0 && instruction.set.has(text.codePointAt(place) ?? 0);
          if (isMatch) at = place;
          break;
        }
        case 'loop': {
          const least = this.advance(instruction.set, at, instruction.min);
          isMatch = least >= 0;
          if (!isMatch) break;
          const most = instruction.max - instruction.min;
          const end = this.advanceMost(instruction.set, least, most);
          if (end > least && !instruction.isPossessive) stack.push(LOOP_BACK - next, least, end);
          at = end;
          break;
        }
        case 'split':
          stack.push(instruction.second, at, 0);
          next = instruction.first;
          break;
        case 'jump':
          next = instruction.to;
          break;
        case 'save':
          stack.push(RESTORE, instruction.slot, slots[instruction.slot] ?? -1);
          slots[instruction.slot] = at;
          break;
        case 'again':
          if (slots[instruction.slot] !== at) next = instruction.to;
          break;
        case 'atomic':
        case 'look': {
          const saved = [...slots];
          const end = this.run(instruction.program, at);
          isMatch = end >= 0 !== (instruction.op === 'look' && instruction.negate);
          // Groups keep their matches until the whole group is backtracked.
          saved.forEach((value, slot) => {
            if (slots[slot] === value) return;
            if (isMatch) stack.push(RESTORE, slot, value);
            else slots[slot] = value;
          });
          if (isMatch && instruction.op === 'atomic') at = end;
          break;
        }
        case 'assertion':
          isMatch = this.holds(instruction.kind, at);
          break;
        case 'backreference': {
          const end = this.endOfRepeat(instruction.numbers, at);
          isMatch = end >= 0;
          if (isMatch) at = end;
          break;
        }
        default:
          instruction satisfies never;
      }
      if (isMatch) continue;
      for (;;) {
        const value = stack.pop();
        const place = stack.pop();
        const kind = stack.pop();
        if (value === undefined || place === undefined || kind === undefined) return -1;
        if (kind === RESTORE) {
          slots[place] = value;
          continue;
        }
        if (kind >= 0) {
          next = kind;
          at = place;
          break;
        }
        // A loop gives one character back.
        next = LOOP_BACK - kind;
        at = before(text, value);
        if (at > place) stack.push(kind, place, at);
        break;
      }
    }
  }

  /** Skips this many characters of a set; -1 if there are fewer. */
  private advance(set: CodePointSet, from: number, count: number): number {
    const end = this.advanceMost(set, from, count);
    let found = 0;
    for (let at = from; at < end; at = after(this.text, at)) found++;
    return found === count ? end : -1;
  }

  private advanceMost(set: CodePointSet, from: number, count: number): number {
    const { text } = this;
    let at = from;
    for (let i = 0; i < count && at < text.length; i++) {
      if (!set.has(text.codePointAt(at) ?? 0)) break;
      at = after(text, at);
      this.steps++;
    }
    return at;
  }

  private holds(kind: Assertion, at: number): boolean {
    const { text } = this;
    const { length } = text;
    switch (kind) {
      case 'textStart':
        return at === 0;
      case 'textEnd':
        return at === length;
      case 'textEndOrLineFeed':
        return at === length || (at === length - 1 && text[at] === '\n');
      case 'lineStart':
        return at === 0 || (text[at - 1] === '\n' && at < length);
      case 'lineEnd':
        return at === length || text[at] === '\n';
      case 'searchStart':
        return at === this.searchStart;
      default: {
        const isBefore = at > 0 && WORDS.has(text.codePointAt(before(text, at)) ?? 0);
        const isAfter = at < length && WORDS.has(text.codePointAt(at) ?? 0);
        return (isBefore !== isAfter) === (kind === 'wordBoundary');
      }
    }
  }

  /** End of a backreference's match; -1 for none. */
  private endOfRepeat(numbers: readonly number[], at: number): number {
    for (const number of numbers.toReversed()) {
      const [from = -1, to = -1] = this.slots.slice(2 * number, 2 * number + 2);
      if (from < 0 || to < from) continue;
      const group = this.text.slice(from, to);
      if (this.text.startsWith(group, at)) return at + group.length;
    }
    return -1;
  }

  private tooLong(place: number): TokenizerError {
    return new TokenizerError(
      `the regular expression ${shown(this.source)} backtracks too long at character ${place} ` +
        `of a text of ${this.text.length}: expected at most ${MAX_STEPS_AT_PLACE} steps`,
    );
  }
}

// The first of three numbers on the stack, unless it is an instruction to return to.
const RESTORE = -1;
/** Minus the instruction after the loop. */
const LOOP_BACK = -2;

const WORDS = new CodePointSet(WORD_OUTSIDE);

function after(text: string, at: number): number {
  return at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
}

function before(text: string, at: number): number {
  const isPair = at > 1 && (text.codePointAt(at - 2) ?? 0) > 0xffff;
  return isPair ? at - 2 : at - 1;
}
