// Python literals: how lists and dicts look in a CSV that pandas or datasets wrote.

/**
 * Parses the repr() of strings, numbers, lists, tuples and dicts, and of NumPy arrays: "['a' 'b']"
 * and "{'text': array(['a', 'b'], dtype=object)}".
 *
 * @throws SyntaxError
 */
export function parsePythonLiteral(text: string): unknown {
  const reader = new LiteralReader(text);
  const value = reader.value();
  reader.end();
  return value;
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  b: '\b',
  f: '\f',
  v: '\v',
  a: '\x07',
  '0': '\0',
};

const WORDS: Readonly<Record<string, boolean | null>> = {
  True: true,
  False: false,
  None: null,
  true: true,
  false: false,
  null: null,
  nan: null,
};

/** Maximum nesting depth of a document. */
const MAX_DEPTH = 32;

class LiteralReader {
  private at = 0;
  private depth = 0;

  constructor(private readonly text: string) {}

  value(): unknown {
    this.skipSpace();
    const next = this.text[this.at] ?? '';
    if (next === '[') return this.list('[', ']');
    if (next === '(') return this.list('(', ')');
    if (next === '{') return this.dict();
    if (next === "'" || next === '"') return this.string();
    const number = this.take(/[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?/iy);
    if (number !== undefined) return Number(number);
    const word = this.take(/[A-Za-z_]\w*/y);
    if (word === 'array' || word === 'list' || word === 'tuple') return this.call();
    if (word !== undefined && Object.hasOwn(WORDS, word)) return WORDS[word];
    throw this.error('a value');
  }

  end(): void {
    this.skipSpace();
    if (this.at < this.text.length) throw this.error('the end');
  }

  /** The first argument of array([...], dtype=object). */
  private call(): unknown {
    this.expect('(');
    const value = this.value();
    this.take(/\s*,\s*dtype\s*=\s*[\w<>.'"]+/y);
    this.skipSpace();
    this.expect(')');
    return value;
  }

  /** NumPy separates items by spaces only. */
  private list(open: string, close: string): unknown[] {
    const items: unknown[] = [];
    this.enter(open);
    while (!this.takes(close)) {
      items.push(this.value());
      this.takes(',');
    }
    this.depth--;
    return items;
  }

  private dict(): Record<string, unknown> {
    const entries: [string, unknown][] = [];
    this.enter('{');
    while (!this.takes('}')) {
      const key = this.value();
      if (typeof key !== 'string') throw this.error('a string as key');
      this.skipSpace();
      this.expect(':');
      entries.push([key, this.value()]);
      this.takes(',');
    }
    this.depth--;
    return Object.fromEntries(entries);
  }

  private string(): string {
    const quote = this.text[this.at++] ?? '';
    let found = '';
    for (;;) {
      const c = this.text[this.at++];
      if (c === undefined) throw this.error(quote);
      if (c === quote) return found;
      found += c === '\\' ? this.escape() : c;
    }
  }

  private escape(): string {
    const code = this.take(/x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}/y);
    if (code !== undefined) {
      const point = Number.parseInt(code.slice(1), 16);
      if (point > 0x10ffff) throw this.error('a code point');
      return String.fromCodePoint(point);
    }
    const c = this.text[this.at++] ?? '';
    const known = Object.hasOwn(ESCAPES, c) ? ESCAPES[c] : undefined;
    if (known !== undefined) return known;
    // An unknown escape keeps its backslash, as in Python.
    return ['\\', "'", '"'].includes(c) ? c : `\\${c}`;
  }

  private enter(open: string): void {
    this.expect(open);
    if (++this.depth > MAX_DEPTH) throw this.error('fewer nested lists');
  }

  private takes(character: string): boolean {
    this.skipSpace();
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  private skipSpace(): void {
    this.take(/\s*/y);
  }

  private expect(character: string): void {
    if (this.text[this.at] !== character) throw this.error(character);
    this.at++;
  }

  private error(expected: string): SyntaxError {
    const found = this.text.slice(this.at, this.at + 20) || 'the end';
    return new SyntaxError(`expected ${expected} at character ${this.at}, found ${found}`);
  }
}
