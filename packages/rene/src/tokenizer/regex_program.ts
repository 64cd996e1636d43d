// From the tree of a regular expression to the instructions of regex_machine.ts.
import { TokenizerError } from '../errors.js';
import type { Assertion, Regex } from './regex.js';

const MAX_INSTRUCTIONS = 50_000;
/** The match's start as set by \\K. The slots of group n are 2n and 2n + 1. */
export const MATCH_START = 0;
const FIRST_LOOP_SLOT = 64;

export type Instruction =
  | { readonly op: 'set'; readonly set: CodePointSet }
  | { readonly op: 'setBefore'; readonly set: CodePointSet }
  /** A greedy loop over single characters; possessive if it never gives characters back. */
  | {
      readonly op: 'loop';
      readonly set: CodePointSet;
      readonly min: number;
      readonly max: number;
      readonly isPossessive: boolean;
    }
  /** Continues at `first`, or at `second` if that fails. */
  | { readonly op: 'split'; first: number; second: number }
  | { readonly op: 'jump'; to: number }
  /** Stores the position in a slot. */
  | { readonly op: 'save'; readonly slot: number }
  /** Repeats a loop, unless its body matched no characters. */
  | { readonly op: 'again'; readonly slot: number; readonly to: number }
  /** Runs a sub-program without backtracking into it. */
  | { readonly op: 'atomic'; readonly program: readonly Instruction[] }
  | { readonly op: 'look'; readonly negate: boolean; readonly program: readonly Instruction[] }
  | { readonly op: 'assertion'; readonly kind: Assertion }
  | { readonly op: 'backreference'; readonly numbers: readonly number[] };

/** Tests of single code points, with cached answers. */
export class CodePointSet {
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

/** Compiles the tree to instructions. */
export class Compiler {
  slotCount = MATCH_START + 1;
  private size = 0;
  private readonly sets = new Map<string, CodePointSet>();

  /** @param isBackward matches towards the start of the text, as lookbehind does */
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

  /** Slots of loops come after those of groups, of which there are few. */
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
