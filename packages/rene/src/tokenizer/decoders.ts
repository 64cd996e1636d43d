// Decoders: from tokens to text, token by token.
import { fromByteCharacters } from './byte_alphabet.js';
import { ByteFallback } from './byte_fallback.js';
import type { Place, Stage, StageMaker } from './decode_stage.js';
import type { Fields } from './fields.js';
import type { Pattern } from './native_pattern.js';
import { readPattern, replaceAll, StringPattern } from './pattern.js';
import { prependScheme } from './pre_tokenizers.js';

/** Some stages receive one long token in pieces, since the previous stage joins all tokens. */
interface Plan {
  readonly make: StageMaker;
  readonly joins: boolean;
}

/** @throws TokenizerError */
export function readDecoder(fields: Fields | undefined): StageMaker {
  if (!fields) return spacesBetween;
  return readPlan(fields, false).make;
}

/** @param isJoined whether all tokens are pieces of one */
function readPlan(fields: Fields, isJoined: boolean): Plan {
  const plan = (make: StageMaker, joins = isJoined): Plan => ({ make, joins });
  const whole = (make: StageMaker, joins = isJoined): Plan =>
    plan(isJoined ? (place) => new Whole(make(place)) : make, joins);
  switch (fields.string('type')) {
    case 'Sequence': {
      let joins = isJoined;
      const makers: StageMaker[] = [];
      for (const decoder of fields.objects('decoders')) {
        const next = readPlan(decoder, joins);
        makers.push(next.make);
        joins = next.joins;
      }
      return plan((place) => new InTurn(makers.map((make) => make(place))), joins);
    }
    case 'ByteLevel':
      return whole(() => new ByteLevel(), true);
    case 'ByteFallback':
      return whole(() => new ByteFallback());
    case 'Fuse':
      return plan(() => perToken((token) => token), true);
    case 'Metaspace':
      return plan(metaspace(fields, isJoined));
    case 'WordPiece':
      return whole(wordPiece(fields));
    case 'BPEDecoder': {
      const suffix = fields.string('suffix', '</w>');
      return whole(({ hasTextAfter }) => new Suffixes(suffix, hasTextAfter));
    }
    case 'CTC':
      return whole(ctc(fields));
    case 'Replace':
      return replace(readPattern(fields), fields.string('content'), isJoined);
    case 'Strip': {
      const content = fields.character('content', ' ');
      const start = fields.count('start', 0);
      const stop = fields.count('stop', 0);
      if (!isJoined) return plan(() => perToken((token) => stripped(token, content, start, stop)));
      return plan(
        ({ hasTextBefore, hasTextAfter }) =>
          new StripEnds(content, hasTextBefore ? 0 : start, hasTextAfter ? 0 : stop),
      );
    }
    default:
      return fields.refuseType('decoder');
  }
}

function perToken(decode: (token: string) => string): Stage {
  return { push: (token) => [decode(token)], end: () => [] };
}

/** Handles the first token of a text differently. */
function firstApart(
  { hasTextBefore }: Place,
  decode: (token: string, isFirst: boolean) => string,
): Stage {
  let isFirst = !hasTextBefore;
  return perToken((token) => {
    const text = decode(token, isFirst);
    isFirst = false;
    return text;
  });
}

/** Without a decoder, tokens are words. */
function spacesBetween(place: Place): Stage {
  return firstApart(place, (token, isFirst) => (isFirst ? token : ` ${token}`));
}

function metaspace(fields: Fields, isJoined: boolean): StageMaker {
  const mark = fields.character('replacement', '▁');
  const isPrefixed = prependScheme(fields) !== 'never';
  return (place) =>
    firstApart(place, (token, isFirst) =>
      token.replaceAll(mark, isPrefixed && (isFirst || isJoined) ? '' : ' '),
    );
}

function wordPiece(fields: Fields): StageMaker {
  const prefix = fields.string('prefix', '##');
  const cleans = fields.boolean('cleanup', true);
  return (place) =>
    firstApart(place, (token, isFirst) => {
      const isPart = !isFirst && token.startsWith(prefix);
      const text = isFirst ? token : isPart ? token.slice(prefix.length) : ` ${token}`;
      return cleans ? cleanedUp(text) : text;
    });
}

function cleanedUp(text: string): string {
  return CLEAN_UPS.reduce((cleaned, [from, to]) => cleaned.replaceAll(from, to), text);
}

const CLEAN_UPS: readonly (readonly [from: string, to: string])[] = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [' do not', " don't"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

/** CTC: removes repeated tokens and padding. */
function ctc(fields: Fields): StageMaker {
  const pad = fields.string('pad_token', '<pad>');
  const delimiter = fields.string('word_delimiter_token', '|');
  const cleans = fields.boolean('cleanup', true);
  return () => {
    let previous: string | undefined;
    const push = (token: string) => {
      if (token === previous) return [];
      previous = token;
      const text = pad === '' ? token : token.replaceAll(pad, '');
      const cleaned = cleans ? cleanedUp(text).replaceAll(delimiter, ' ') : text;
      return cleaned === '' ? [] : [cleaned];
    };
    return { push, end: () => [] };
  };
}

function replace(pattern: Pattern, content: string, isJoined: boolean): Plan {
  const make = () => perToken((token) => replaceAll(token, pattern, content));
  if (!isJoined) return { make, joins: false };
  if (pattern instanceof StringPattern && pattern.text !== '') {
    return { make: () => new ReplaceInPieces(pattern.text, content), joins: true };
  }
  return { make: () => new Whole(make()), joins: true };
}

function stripped(token: string, content: string, start: number, stop: number): string {
  const characters = [...token];
  let from = 0;
  while (from < Math.min(start, characters.length) && characters[from] === content) from++;
  let to = characters.length;
  while (characters.length - to < stop && characters[to - 1] === content) to--;
  return characters.slice(from, to).join('');
}

/** Stages in a row. */
class InTurn implements Stage {
  constructor(private readonly stages: readonly Stage[]) {}

  push(token: string): string[] {
    return this.from(0, [token]);
  }

  end(): string[] {
    return this.stages.flatMap((stage, i) => this.from(i + 1, stage.end()));
  }

  private from(first: number, tokens: string[]): string[] {
    let texts = tokens;
    for (let i = first; i < this.stages.length && texts.length > 0; i++) {
      const stage = this.stages[i];
      const [only] = texts;
      if (stage && texts.length === 1 && only !== undefined) texts = stage.push(only);
      else if (stage) texts = texts.flatMap((text) => stage.push(text));
    }
    return texts;
  }
}

/** Joins the pieces of a token before the next stage. */
class Whole implements Stage {
  private readonly pieces: string[] = [];

  constructor(private readonly stage: Stage) {}

  push(piece: string): string[] {
    this.pieces.push(piece);
    return [];
  }

  end(): string[] {
    if (this.pieces.length === 0) return this.stage.end();
    return [...this.stage.push(this.pieces.join('')), ...this.stage.end()];
  }
}

/** Tokens are bytes of UTF-8, spelled in GPT-2's alphabet. */
class ByteLevel implements Stage {
  private readonly utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  /** Whether the last character may lack bytes. */
  private isOpen = false;

  push(token: string): string[] {
    if (!this.isOpen && ASCII_WORD.test(token)) return [token.replace('Ġ', ' ')];
    const bytes = fromByteCharacters(token);
    this.isOpen = (bytes.at(-1) ?? 0) >= 0x80;
    return [this.utf8.decode(bytes, STREAM)];
  }

  end(): string[] {
    return [this.utf8.decode()];
  }
}

/** A token that is processed as a whole. */
const ASCII_WORD = /^Ġ?[!-~]+$/;
const STREAM = { stream: true };

/** Replaces word suffixes by spaces, except for the last word; holds back one token. */
class Suffixes implements Stage {
  private held: string | undefined;

  constructor(
    private readonly suffix: string,
    private readonly hasTextAfter: boolean,
  ) {}

  push(token: string): string[] {
    const texts = this.release(' ');
    this.held = token;
    return texts;
  }

  end(): string[] {
    return this.release(this.hasTextAfter ? ' ' : '');
  }

  private release(space: string): string[] {
    const { held, suffix } = this;
    if (held === undefined) return [];
    // Rust matches an empty suffix around each character, JavaScript also within surrogate pairs.
    if (suffix === '') return [space + [...held].map((character) => character + space).join('')];
    return [held.replaceAll(suffix, space)];
  }
}

/** Strips the ends of a token that arrives in pieces. */
class StripEnds implements Stage {
  private left: number;
  private held = '';

  constructor(
    private readonly content: string,
    start: number,
    private readonly stop: number,
  ) {
    this.left = start;
  }

  push(piece: string): string[] {
    let text = this.held + piece;
    while (this.left > 0 && text !== '') {
      if (!text.startsWith(this.content)) {
        this.left = 0;
        break;
      }
      text = text.slice(this.content.length);
      this.left--;
    }
    const kept = stripped(text, this.content, 0, this.stop);
    this.held = text.slice(kept.length);
    return [kept];
  }

  end(): string[] {
    return [];
  }
}

/** Replaces a text in a token that arrives in pieces. */
class ReplaceInPieces implements Stage {
  private held = '';
  private readonly pattern: StringPattern;

  constructor(
    private readonly from: string,
    private readonly to: string,
  ) {
    this.pattern = new StringPattern(from);
  }

  push(piece: string): string[] {
    const { from, to } = this;
    const text = this.held + piece;
    const last = text.lastIndexOf(from);
    const done = last < 0 ? 0 : endOfMatches(text, this.pattern);
    let open = Math.max(done, text.length - from.length + 1);
    while (open < text.length && !from.startsWith(text.slice(open))) open++;
    this.held = text.slice(open);
    return [replaceAll(text.slice(0, open), this.pattern, to)];
  }

  end(): string[] {
    return [this.held];
  }
}

function endOfMatches(text: string, { text: from }: StringPattern): number {
  let end = 0;
  for (let at = text.indexOf(from); at >= 0; at = text.indexOf(from, end)) end = at + from.length;
  return end;
}
