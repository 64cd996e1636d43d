// Expressions that ignore case, written out: JavaScript has no `(?i:...)` before Node 23, and it never
// equates one character with several, such as ß with ss.

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

/** The characters that equal several others where case is ignored: 'ss' gives ß and ẞ. */
export function multipleFolds(): ReadonlyMap<string, readonly number[]> {
  folds ??= findMultipleFolds();
  return folds;
}

let folds: ReadonlyMap<string, readonly number[]> | undefined;

function findMultipleFolds(): ReadonlyMap<string, readonly number[]> {
  const found = new Map<string, number[]>();
  cased ??= casedCodePoints();
  for (const value of cased) {
    const text = String.fromCodePoint(value);
    const folded = lowerOfUpper(text);
    if (folded.length > text.length) found.set(folded, [...(found.get(folded) ?? []), value]);
  }
  return found;
}

/** A character in its full case folding, such as s for S and ss for ß. */
export function foldedCharacter(value: number): string {
  const text = String.fromCodePoint(value);
  const folded = lowerOfUpper(text);
  // The dotless ı has the upper case I, but does not equal i.
  const isFold =
    folded.length > text.length || new RegExp(`^${codePoint(value)}$`, 'iu').test(folded);
  return isFold ? folded : text;
}

/** Lower case first: ẞ has no other upper case, but ß does. */
function lowerOfUpper(text: string): string {
  return text.toLowerCase().toUpperCase().toLowerCase();
}

/** A code point as an escape that is valid inside and outside classes. */
export function codePoint(value: number): string {
  return `\\u{${value.toString(16)}}`;
}
