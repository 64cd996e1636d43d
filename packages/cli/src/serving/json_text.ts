// JSON as the server sends it.

/**
 * JSON without raw line separators besides \n and \r, which JSON escapes anyway. Clients that split
 * an event stream as Python's str.splitlines does would cut an event at U+0085, U+2028 or U+2029.
 */
export function jsonText(value: unknown): string {
  return JSON.stringify(value).replace(SEPARATORS, escaped);
}

const SEPARATORS = /[\u0085\u2028\u2029]/g;

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
