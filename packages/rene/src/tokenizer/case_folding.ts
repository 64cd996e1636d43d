// Case-insensitive character sets, written out: JavaScript has no `(?i:...)` before Node 23.

/** All code points that have a case variant. */
let cased: readonly number[] | undefined;

/**
 * A class extended by the case variants of its characters.
 *
 * @param source a class in `v` mode
 */
export function foldCase(source: string): string {
  const own = new RegExp(`^${source}$`, 'v');
  const folded = new RegExp(`^${source}$`, 'iv');
  cased ??= casedCodePoints();
  const more = cased.filter((value) => {
    const text = String.fromCodePoint(value);
    return folded.test(text) && !own.test(text);
  });
  return more.length === 0 ? source : `[${source}${more.map(codePoint).join('')}]`;
}

function casedCodePoints(): number[] {
  const found: number[] = [];
  const isCased = /^[\p{Changes_When_Casemapped}\p{Changes_When_Casefolded}]$/u;
  for (let value = 0; value < 0x1f000; value++) {
    if (value >= 0xd800 && value <= 0xdfff) continue;
    if (isCased.test(String.fromCodePoint(value))) found.push(value);
  }
  return found;
}

/** A code point as an escape that is valid inside and outside classes. */
export function codePoint(value: number): string {
  return `\\u{${value.toString(16)}}`;
}
