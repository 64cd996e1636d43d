// JSON for responses.

/**
 * JSON with U+0085, U+2028 and U+2029 escaped. Clients that split an event stream like Python's
 * str.splitlines would cut an event there.
 */
export function jsonText(value: unknown): string {
  return JSON.stringify(value).replace(SEPARATORS, escaped);
}

const SEPARATORS = /[\u0085\u2028\u2029]/g;

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
