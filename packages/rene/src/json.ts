// JSON with Python's Infinity and NaN, which JSON.parse refuses.

/** Parses JSON that may hold NaN, Infinity and -Infinity, and begin with a BOM. @throws SyntaxError */
export function parseJson(json: string): unknown {
  const text = json.replace(/^\ufeff/, '');
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!/\b(?:Infinity|NaN)\b/.test(text)) throw error;
    // An unterminated string is taken to the end of the text, so that it is scanned once.
    return JSON.parse(text.replace(/"(?:[^"\\]+|\\[\s\S])*"?|\b(?:Infinity|NaN)\b/g, spellOut));
  }
}

/** JSON text with infinities as 1e999, which Python and parseJson read as infinity. */
export function stringifyJson(value: unknown): string {
  const text = JSON.stringify(value, (_, v) => (v === Number.POSITIVE_INFINITY ? INFINITY : v), 1);
  return `${text.replaceAll(JSON.stringify(INFINITY), '1e999')}\n`;
}

const INFINITY = '\u0000infinity';

function spellOut(found: string): string {
  if (found === 'Infinity') return '1e999';
  return found === 'NaN' ? 'null' : found;
}

/** The value as an object with string keys; undefined for lists, null and other values. */
export function asRecord(value: unknown): Record<string, unknown> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  // Objects from JSON.parse have string keys only.
  return value as Record<string, unknown>;
}

/** A value in an error message: one line of at most 60 characters. */
export function shortJson(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'number') return `${value}`;
  const text = jsonOrType(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** JSON.stringify is recursive, so that deeply nested values overflow the stack. */
function jsonOrType(value: unknown): string {
  try {
    return JSON.stringify(value) ?? typeof value;
  } catch (error) {
    if (!(error instanceof RangeError)) return typeof value;
    return Array.isArray(value) ? 'deeply nested lists' : 'a deeply nested object';
  }
}
