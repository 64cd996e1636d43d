// A backtracking matcher that counts its steps: for regular expressions that JavaScript's own engine
// does not know, or may not come back from.
import { TokenizerError } from '../errors.js';
import { WORD_OUTSIDE } from './character_sets.js';
import { type Assertion, type Regex, shown } from './regex_tree.js';

/** As many as Oniguruma allows an attempt. */
const MAX_STEPS_AT_PLACE = 10_000_000;
/** Of a text, besides that of one attempt. */
const MAX_STEPS_PER_CHARACTER = 1000;
const MAX_INSTRUCTIONS = 50_000;

type Instruction =
  | { readonly op: 'set'; readonly set: CodePointSet }
  | { readonly op: 'setBefore'; readonly set: CodePointSet }
  /** A greedy loop over single characters; possessive where it is not taken back. */
  | {
      readonly op: 'loop';
      readonly set: CodePointSet;
      readonly min: number;
      readonly max: number;
      readonly isPossessive: boolean;
    }
  /** Goes on at `first`; at `second` where that fails. */
  | { readonly op: 'split'; first: number; second: number }
  | { readonly op: 'jump'; to: number }
  /** Writes the place into a slot. */
  | { readonly op: 'save'; readonly slot: number }
  /** Repeats a loop, unless its body took no character. */
  | { readonly op: 'again'; readonly slot: number; readonly to: number }
  /** Runs a program of its own, of which nothing is taken back. */
  | { readonly op: 'atomic'; readonly program: readonly Instruction[] }
  | { readonly op: 'look'; readonly negate: boolean; readonly program: readonly Instruction[] }
  | { readonly op: 'assertion'; readonly kind: Assertion }
  | { readonly op: 'backreference'; readonly numbers: readonly number[] };

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
   * Finds the first match from a place on.
   *
   * @throws TokenizerError when it takes too many steps
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

  /** The end of a match at a place, -1 for none. */
  private run(program: readonly Instruction[], from: number): number {
    const { text, slots } = this;
    // What to go back to, three numbers each: see BACK_TO and the others.
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
          // Groups keep what they matched in there, until it is taken back as a whole.
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

  /** Over so many characters of a set; -1 where there are fewer. */
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

  /** Where the text of a group ends that is repeated here; -1 where it is not. */
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

// The first of three numbers on the stack, where it is no instruction to go back to.
const RESTORE = -1;
/** Minus the instruction after the loop. */
const LOOP_BACK = -2;

function after(text: string, at: number): number {
  return at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
}

function before(text: string, at: number): number {
  const isPair = at > 1 && (text.codePointAt(at - 2) ?? 0) > 0xffff;
  return isPair ? at - 2 : at - 1;
}

/** Tests single code points and remembers the answers. */
class CodePointSet {
  private readonly regex: RegExp;
  private readonly known = new Uint8Array(0x10000);

  constructor(source: string) {
    this.regex = new RegExp(`^${source}$`, 'v');
  }

  has(value: number): boolean {
    const known = this.known[value];
    if (known === YES || known === NO) return known === YES;
    const found = this.regex.test(String.fromCodePoint(value));
    this.known[value] = found ? YES : NO;
    return found;
  }
}

const NO = 1;
const YES = 2;
const WORDS = new CodePointSet(WORD_OUTSIDE);

/** From the tree to instructions. */
class Compiler {
  slotCount = MATCH_START + 1;
  private size = 0;
  private readonly sets = new Map<string, CodePointSet>();

  /** @param isBackward reads towards the text's start, as lookbehind does */
  compile(regex: Regex, isBackward: boolean): Instruction[] {
    const program: Instruction[] = [];
    this.add(regex, program, isBackward);
    return program;
  }

  private add(regex: Regex, program: Instruction[], isBackward: boolean): void {
    if (++this.size > MAX_INSTRUCTIONS)
      throw new TokenizerError('a regular expression is too long');
    switch (regex.type) {
      case 'set':
        program.push({ op: isBackward ? 'setBefore' : 'set', set: this.set(regex.source) });
        return;
      case 'sequence': {
        const parts = isBackward ? regex.parts.toReversed() : regex.parts;
        for (const part of parts) this.add(part, program, isBackward);
        return;
      }
      case 'choice':
        this.addChoice(regex.parts, program, isBackward);
        return;
      case 'repeat':
        this.addRepeat(regex, program, isBackward);
        return;
      case 'atomic':
        program.push({ op: 'atomic', program: this.compile(regex.part, isBackward) });
        return;
      case 'look': {
        const inner = this.compile(regex.part, regex.behind);
        program.push({ op: 'look', negate: regex.negate, program: inner });
        return;
      }
      case 'assertion':
        program.push({ op: 'assertion', kind: regex.kind });
        return;
      case 'capture': {
        const slots = [2 * regex.number, 2 * regex.number + 1];
        const [first = 0, second = 0] = isBackward ? slots.toReversed() : slots;
        this.slotCount = Math.max(this.slotCount, ...slots.map((slot) => slot + 1));
        program.push({ op: 'save', slot: first });
        this.add(regex.part, program, isBackward);
        program.push({ op: 'save', slot: second });
        return;
      }
      case 'backreference':
        if (isBackward)
          throw new TokenizerError('a backreference in a lookbehind is not supported');
        program.push({ op: 'backreference', numbers: regex.numbers });
        return;
      case 'keep':
        program.push({ op: 'save', slot: MATCH_START });
        return;
      default:
        regex satisfies never;
    }
  }

  private addChoice(parts: readonly Regex[], program: Instruction[], isBackward: boolean): void {
    const jumps: { op: 'jump'; to: number }[] = [];
    parts.forEach((part, i) => {
      const isLast = i === parts.length - 1;
      const split = { op: 'split' as const, first: program.length + 1, second: 0 };
      if (!isLast) program.push(split);
      this.add(part, program, isBackward);
      if (isLast) return;
      const jump = { op: 'jump' as const, to: 0 };
      jumps.push(jump);
      program.push(jump);
      split.second = program.length;
    });
    for (const jump of jumps) jump.to = program.length;
  }

  private addRepeat(
    regex: Extract<Regex, { type: 'repeat' }>,
    program: Instruction[],
    isBackward: boolean,
  ): void {
    const { part, min, max, kind } = regex;
    if (kind === 'possessive' && (part.type !== 'set' || isBackward)) {
      const greedy: Regex = { ...regex, kind: 'greedy' };
      this.add({ type: 'atomic', part: greedy }, program, isBackward);
      return;
    }
    if (part.type === 'set' && kind !== 'lazy' && !isBackward) {
      const set = this.set(part.source);
      program.push({ op: 'loop', set, min, max, isPossessive: kind === 'possessive' });
      return;
    }
    for (let copy = 0; copy < min; copy++) this.add(part, program, isBackward);
    const splits: Split[] = [];
    if (max === Number.POSITIVE_INFINITY) {
      const slot = this.emptyCheckSlot();
      const start = program.length;
      splits.push(this.addSplit(program, kind === 'lazy'));
      program.push({ op: 'save', slot });
      this.add(part, program, isBackward);
      program.push({ op: 'again', slot, to: start });
    } else {
      for (let copy = min; copy < max; copy++) {
        splits.push(this.addSplit(program, kind === 'lazy'));
        this.add(part, program, isBackward);
      }
    }
    for (const split of splits) split[kind === 'lazy' ? 'first' : 'second'] = program.length;
  }

  private addSplit(program: Instruction[], isLazy: boolean): Split {
    const body = program.length + 1;
    const split = { op: 'split' as const, first: isLazy ? 0 : body, second: isLazy ? body : 0 };
    program.push(split);
    return split;
  }

  /** Slots of loops lie after those of groups, of which there are few. */
  private emptyCheckSlot(): number {
    this.slotCount = Math.max(this.slotCount, FIRST_LOOP_SLOT) + 1;
    return this.slotCount - 1;
  }

  private set(source: string): CodePointSet {
    let set = this.sets.get(source);
    if (!set) {
      set = new CodePointSet(source);
      this.sets.set(source, set);
    }
    return set;
  }
}

type Split = { op: 'split'; first: number; second: number };

/** Where \K has set the start. Those of group n are 2n and 2n + 1. */
const MATCH_START = 0;
const FIRST_LOOP_SLOT = 64;
