// Python's string methods, by which the tasks are defined.

/** The characters of str.isspace(); JavaScript's \s also has U+FEFF and lacks U+001C-1F and U+0085. */
const SPACE =
  '[\\t-\\r \\x1c-\\x1f\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const LEADING = new RegExp(`^${SPACE}+`);

/** str.lstrip() */
export function lstrip(text: string): string {
  return text.replace(LEADING, '');
}

/** str.rstrip(). Scans from the end: a pattern would be quadratic in runs of spaces. */
export function rstrip(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

/** str.strip() */
export function strip(text: string): string {
  return lstrip(rstrip(text));
}

const ONE_SPACE = new RegExp(`^${SPACE}$`);

function isSpace(character: string): boolean {
  return ONE_SPACE.test(character);
}

/** str.capitalize(): the first character in title case, the others in lower case. */
export function capitalize(text: string): string {
  const [first] = text;
  if (first === undefined) return '';
  // Lower case depends on neighbours (final sigma), so the whole text is converted at once.
  const lower = lowerAfter(first, text.slice(first.length));
  return titleCase(first) + lower;
}

function lowerAfter(first: string, rest: string): string {
  return (first + rest).toLowerCase().slice(first.toLowerCase().length);
}

/** Title case differs from upper case for these digraphs and for ligatures. */
const TITLE: Readonly<Record<string, string>> = {
  Ǆ: 'ǅ',
  ǅ: 'ǅ',
  ǆ: 'ǅ',
  Ǉ: 'ǈ',
  ǈ: 'ǈ',
  ǉ: 'ǈ',
  Ǌ: 'ǋ',
  ǋ: 'ǋ',
  ǌ: 'ǋ',
  Ǳ: 'ǲ',
  ǲ: 'ǲ',
  ǳ: 'ǲ',
};

function titleCase(character: string): string {
  const title = TITLE[character];
  if (title !== undefined) return title;
  if (/^[\u10d0-\u10ff]$/.test(character)) return character; // Georgian has no title case
  const [first = '', ...others] = character.toUpperCase();
  return first + others.join('').toLowerCase();
}

/** len(): code points, neither bytes nor UTF-16 units. */
export function codePointLength(text: string): number {
  let length = 0;
  for (const _ of text) length++;
  return length;
}

/** json.dumps(value, indent=2, ensure_ascii=False), from which lm-eval computes document hashes. */
export function jsonDumps(value: unknown, indent = ''): string {
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    const items = value.map((item) => `${inner}${jsonDumps(item, inner)}`);
    return `[\n${items.join(',\n')}\n${indent}]`;
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value);
    if (entries.length === 0) return '{}';
    const items = entries.map(([key, v]) => `${inner}${jsonString(key)}: ${jsonDumps(v, inner)}`);
    return `{\n${items.join(',\n')}\n${indent}}`;
  }
  if (typeof value === 'string') return jsonString(value);
  if (typeof value === 'number') return pythonNumber(value);
  return JSON.stringify(value ?? null);
}

/** Python escapes the same characters as JSON.stringify, but leaves lone surrogates as they are. */
function jsonString(text: string): string {
  return JSON.stringify(text);
}

/** A number as Python's repr writes it. JSON cannot tell 1.0 from 1; whole numbers count as ints. */
function pythonNumber(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity';
  if (Number.isInteger(value) && Math.abs(value) < 1e16) return String(value);
  return floatRepr(value);
}

/** repr() of a float: 1.0, 1e-05, inf. */
export function floatRepr(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (Object.is(value, -0)) return '-0.0';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
  }
  const text = size >= 1e21 ? value.toLocaleString('en', { useGrouping: false }) : String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}
