// Parses the regular expressions of a tokenizer.json, in Oniguruma's dialect as used by the tokenizers
// library.
import {
  type AlternativeElementNode,
  type AlternativeNode,
  type AssertionNode,
  type DirectiveNode,
  parse,
  type QuantifierNode,
} from 'oniguruma-parser/parser';
import { OnigUnicodePropertyMap } from 'oniguruma-parser/unicode';
import { TokenizerError } from '../errors.js';
import { caselessLiteral, foldsInClass } from './caseless.js';
import { type SetFlags, setSource } from './character_sets.js';
import type { Assertion, Regex } from './regex.js';

/** @throws TokenizerError for invalid or unsupported expressions */
export function parseRegex(source: string): Regex {
  try {
    const options = { unicodePropertyMap: OnigUnicodePropertyMap };
    const { body, flags } = parse(source, options);
    const { ignoreCase, dotAll } = flags;
    return simplified(new Builder(source).choice(body, { ignoreCase, dotAll }));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new TokenizerError(`regular expression ${shown(source)}: ${why}`, { cause: error });
  }
}

/** A pattern in error messages. */
export function shown(source: string): string {
  return `/${source.length > 200 ? `${source.slice(0, 200)}…` : source}/`;
}

class Builder {
  /** Groups by name. */
  private readonly names = new Map<string, number[]>();
  private isBehind = false;

  constructor(private readonly source: string) {}

  choice(alternatives: readonly AlternativeNode[], flags: SetFlags): Regex {
    const parts: Regex[] = [];
    for (const [i, { body }] of alternatives.entries()) {
      const at = body.findIndex(isFlags);
      const directive = body[at];
      if (directive === undefined || !isFlags(directive)) {
        parts.push(this.sequence(body, flags));
        continue;
      }
      // (?i) applies to the end of its group, further alternatives included: a(?i)b|c is a(?i:b|c).
      const rest = alternatives.slice(i).map((alternative) => ({ ...alternative }));
      if (rest[0]) rest[0].body = body.slice(at + 1);
      const scope = this.choice(rest, changed(flags, directive.flags));
      parts.push({ type: 'sequence', parts: [this.sequence(body.slice(0, at), flags), scope] });
      break;
    }
    return { type: 'choice', parts };
  }

  private sequence(nodes: readonly AlternativeElementNode[], flags: SetFlags): Regex {
    const parts: Regex[] = [];
    let literal: number[] = [];
    const endLiteral = () => {
      parts.push(...caselessLiteral(literal, this.isBehind));
      literal = [];
    };
    for (const node of withoutPlainGroups(nodes)) {
      if (node.type === 'Character' && flags.ignoreCase) {
        literal.push(node.value);
        continue;
      }
      endLiteral();
      parts.push(this.node(node, flags));
    }
    endLiteral();
    return { type: 'sequence', parts };
  }

  private node(node: AlternativeElementNode, flags: SetFlags): Regex {
    switch (node.type) {
      case 'Character':
        if (!flags.ignoreCase) return { type: 'set', source: setSource(node, flags) };
        return { type: 'sequence', parts: caselessLiteral([node.value], this.isBehind) };
      case 'CharacterClass': {
        const set: Regex = { type: 'set', source: setSource(node, flags) };
        if (!flags.ignoreCase || node.negate) return set;
        const own = setSource(node, { ...flags, ignoreCase: false });
        return { type: 'choice', parts: [set, ...foldsInClass(own)] };
      }
      case 'CharacterSet':
        if (node.kind === 'newline' && !node.negate) return LINE_BREAK;
        return { type: 'set', source: setSource(node, flags) };
      case 'Quantifier':
        return this.repeat(node, flags);
      case 'Group': {
        const inner = node.flags ? changed(flags, node.flags) : flags;
        const part = this.choice(node.body, inner);
        return node.atomic ? { type: 'atomic', part } : part;
      }
      case 'CapturingGroup': {
        const { name, number } = node;
        if (name !== undefined) this.names.set(name, [...(this.names.get(name) ?? []), number]);
        return { type: 'capture', number, part: this.choice(node.body, flags) };
      }
      case 'LookaroundAssertion': {
        const behind = node.kind === 'lookbehind';
        const { isBehind } = this;
        this.isBehind ||= behind;
        const part = this.choice(node.body, flags);
        this.isBehind = isBehind;
        return { type: 'look', behind, negate: node.negate, part };
      }
      case 'Assertion':
        return { type: 'assertion', kind: assertionOf(node) };
      case 'Backreference': {
        if (flags.ignoreCase)
          throw new TokenizerError('a backreference that ignores case is not supported');
        const { ref } = node;
        const numbers = typeof ref === 'number' ? [ref] : (this.names.get(ref) ?? []);
        return { type: 'backreference', numbers };
      }
      case 'Directive':
        return { type: 'keep' };
      default:
        throw new TokenizerError(`${node.type} is not supported`);
    }
  }

  private repeat(node: QuantifierNode, flags: SetFlags): Regex {
    const { kind, min, body } = node;
    // The parser types it as a number; no limit is null or Infinity.
    const max = Number.isFinite(node.max ?? Number.NaN) ? node.max : Number.POSITIVE_INFINITY;
    if (Math.max(min, Number.isFinite(max) ? max : 0) > MAX_COUNT) {
      throw new TokenizerError(`expected at most ${MAX_COUNT} repetitions in ${this.source}`);
    }
    return { type: 'repeat', part: this.node(body, flags), min, max, kind };
  }
}

/** A sequence with the elements of plain groups in their place: (?:s)s is ss. */
function* withoutPlainGroups(
  nodes: readonly AlternativeElementNode[],
): Generator<AlternativeElementNode, void, void> {
  for (const node of nodes) {
    const [only, ...others] = node.type === 'Group' && !node.flags && !node.atomic ? node.body : [];
    if (only && others.length === 0 && !only.body.some(isFlags)) {
      yield* withoutPlainGroups(only.body);
    } else {
      yield node;
    }
  }
}

function isFlags(node: AlternativeElementNode): node is Extract<DirectiveNode, { kind: 'flags' }> {
  return node.type === 'Directive' && node.kind === 'flags';
}

const MAX_COUNT = 1000;

/** \R: a line break of one or two characters, without backtracking. */
const LINE_BREAK: Regex = {
  type: 'atomic',
  part: {
    type: 'choice',
    parts: [
      {
        type: 'sequence',
        parts: [
          { type: 'set', source: '\\r' },
          { type: 'set', source: '\\n' },
        ],
      },
      { type: 'set', source: '[\\n-\\r\\u0085\\u2028\\u2029]' },
    ],
  },
};

function changed(
  flags: SetFlags,
  { enable, disable }: { enable?: Partial<SetFlags>; disable?: Partial<SetFlags> },
): SetFlags {
  const flag = (name: keyof SetFlags) => (flags[name] || !!enable?.[name]) && !disable?.[name];
  return { ignoreCase: flag('ignoreCase'), dotAll: flag('dotAll') };
}

function assertionOf({ kind, negate }: AssertionNode): Assertion {
  switch (kind) {
    case 'line_start':
      return 'lineStart';
    case 'line_end':
      return 'lineEnd';
    case 'search_start':
      return 'searchStart';
    case 'string_start':
      return 'textStart';
    case 'string_end':
      return 'textEnd';
    case 'string_end_newline':
      return 'textEndOrLineFeed';
    case 'word_boundary':
      return negate ? 'noWordBoundary' : 'wordBoundary';
    default:
      throw new TokenizerError('\\y is not supported');
  }
}

/** Simplifies groups with one part, and alternatives of single characters to sets. */
function simplified(regex: Regex): Regex {
  switch (regex.type) {
    case 'sequence': {
      const parts = regex.parts.map(simplified);
      const flat = parts.flatMap((part) => (part.type === 'sequence' ? part.parts : [part]));
      return only(flat) ?? { ...regex, parts: flat };
    }
    case 'choice': {
      const parts = regex.parts.map(simplified);
      const sets = parts.flatMap((part) => (part.type === 'set' ? [part.source] : []));
      if (sets.length === parts.length && sets.length > 1) {
        return { type: 'set', source: `[${sets.join('')}]` };
      }
      return only(parts) ?? { ...regex, parts };
    }
    case 'repeat':
      return simplifiedRepeat({ ...regex, part: simplified(regex.part) });
    case 'atomic': {
      const part = simplified(regex.part);
      // A single character needs no backtracking; a loop over one is a possessive loop.
      if (part.type === 'set') return part;
      if (part.type === 'repeat' && part.kind === 'greedy' && part.part.type === 'set') {
        return { ...part, kind: 'possessive' };
      }
      return { ...regex, part };
    }
    case 'look':
    case 'capture':
      return { ...regex, part: simplified(regex.part) };
    default:
      return regex;
  }
}

/** `(?:a{1,3})+` is `a+`: Oniguruma reads `a{1,3}+` so. */
function simplifiedRepeat(regex: Extract<Regex, { type: 'repeat' }>): Regex {
  const { part: inner, kind, max } = regex;
  if (inner.type !== 'repeat' || inner.kind !== 'greedy' || kind === 'lazy') return regex;
  if (inner.min > 1 || max !== Number.POSITIVE_INFINITY || inner.part.type !== 'set') return regex;
  const min = inner.min === 0 ? 0 : regex.min;
  return { ...regex, part: inner.part, min };
}

function only(parts: readonly Regex[]): Regex | undefined {
  return parts.length === 1 ? parts[0] : undefined;
}
