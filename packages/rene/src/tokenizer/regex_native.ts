// Compiles regular expressions to JavaScript's if they backtrack little.
import { ANY, WORD_OUTSIDE } from './character_sets.js';
import type { Assertion, Regex } from './regex.js';

/** An expression that is safe to run in JavaScript's engine. */
export interface NativeRegex {
  readonly source: string;
  /** Whether a failing attempt takes few steps for any text. */
  readonly failsFast: boolean;
}

/**
 * The expression in JavaScript's `v` mode. Undefined if backtracking may be superlinear, since it cannot be
 * interrupted, and for unsupported syntax.
 */
export function nativeRegex(regex: Regex): NativeRegex | undefined {
  const source = sourceOf(regex);
  if (source === undefined) return undefined;
  const { steps } = worst(regex, { steps: 0, fails: false });
  if (steps > MAX_STEPS) return undefined;
  return { source, failsFast: steps < LONG };
}

/** Text length for which steps are estimated. */
const LONG = 10_000;
/** Between a single loop with backtracking and two nested ones. */
const MAX_STEPS = 1000 * LONG;

const ASSERTIONS: Readonly<Partial<Record<Assertion, string>>> = {
  textStart: `(?<!${ANY})`,
  textEnd: `(?!${ANY})`,
  textEndOrLineFeed: `(?=\\n?(?!${ANY}))`,
  lineStart: `(?:(?<!${ANY})|(?<=\\n)(?=${ANY}))`,
  lineEnd: `(?:(?=\\n)|(?!${ANY}))`,
  wordBoundary: `(?:(?<=${WORD_OUTSIDE})(?!${WORD_OUTSIDE})|(?<!${WORD_OUTSIDE})(?=${WORD_OUTSIDE}))`,
  noWordBoundary: `(?:(?<=${WORD_OUTSIDE})(?=${WORD_OUTSIDE})|(?<!${WORD_OUTSIDE})(?!${WORD_OUTSIDE}))`,
};

function sourceOf(regex: Regex): string | undefined {
  switch (regex.type) {
    case 'set':
      return regex.source;
    case 'sequence':
      return joined(regex.parts, '');
    case 'choice': {
      const source = joined(regex.parts, '|');
      return source === undefined ? undefined : `(?:${source})`;
    }
    case 'repeat':
      return repeatSource(regex);
    case 'look': {
      const source = sourceOf(regex.part);
      if (source === undefined) return undefined;
      return `(?${regex.behind ? '<' : ''}${regex.negate ? '!' : '='}${source})`;
    }
    case 'assertion':
      return ASSERTIONS[regex.kind];
    case 'capture':
      return sourceOf(regex.part);
    default:
      return undefined;
  }
}

function joined(parts: readonly Regex[], between: string): string | undefined {
  const sources = parts.map(sourceOf);
  return sources.includes(undefined) ? undefined : sources.join(between);
}

function repeatSource(regex: Extract<Regex, { type: 'repeat' }>): string | undefined {
  const { part, min, max, kind } = regex;
  const inner = sourceOf(part);
  if (inner === undefined) return undefined;
  const source = part.type === 'set' ? inner : `(?:${inner})`;
  if (kind !== 'possessive') return `${source}${times(min, max)}${kind === 'lazy' ? '?' : ''}`;
  if (part.type !== 'set') return undefined;
  // A possessive loop over single characters ends before the next other character.
  const open = `${source}${times(min, max)}(?!${source})`;
  return max === Number.POSITIVE_INFINITY ? open : `(?:${source}{${max}}|${open})`;
}

function times(min: number, max: number): string {
  return `{${min},${max === Number.POSITIVE_INFINITY ? '' : max}}`;
}

/** Maximum steps of an attempt, and whether it can fail. */
interface Work {
  readonly steps: number;
  readonly fails: boolean;
}

/** The cost of an expression and of its continuation. */
function worst(regex: Regex, rest: Work): Work {
  switch (regex.type) {
    case 'sequence':
      return regex.parts.reduceRight((work, part) => worst(part, work), rest);
    case 'choice': {
      const works = regex.parts.map((part) => worst(part, rest));
      const steps = works.reduce((sum, work) => sum + work.steps, 0);
      return { steps, fails: works.every(({ fails }) => fails) };
    }
    case 'repeat':
      return worstRepeat(regex, rest);
    case 'look': {
      const { steps } = worst(regex.part, { steps: 0, fails: true });
      return { steps: rest.steps + steps, fails: true };
    }
    case 'capture':
      return worst(regex.part, rest);
    default:
      return { steps: rest.steps + 1, fails: true };
  }
}

function worstRepeat(regex: Extract<Regex, { type: 'repeat' }>, rest: Work): Work {
  const { part, min, max } = regex;
  const fails = min > 0 || rest.fails;
  if (part.type === 'set' || isFixed(part)) {
    // An expression that cannot fail is tried once; matched characters count separately.
    const tries = rest.fails ? Math.min(max, LONG) - Math.min(min, LONG) + 1 : 1;
    return { steps: tries * (rest.steps + 1) + Math.min(min, LONG), fails };
  }
  if (max > MAX_COPIES) return { steps: Number.POSITIVE_INFINITY, fails };
  let work = rest;
  for (let copy = max; copy > 0; copy--) {
    const longer = worst(part, work);
    const isOptional = copy > min;
    work = isOptional
      ? { steps: longer.steps + rest.steps, fails: rest.fails }
      : { steps: longer.steps, fails: longer.fails };
  }
  return work;
}

const MAX_COPIES = 20;

/** Whether it is a sequence of single characters, which matches in one way. */
function isFixed(regex: Regex): boolean {
  return regex.type === 'sequence' && regex.parts.every(({ type }) => type === 'set');
}
