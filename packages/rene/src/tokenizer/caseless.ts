// Literals and classes of expressions that ignore case, as Oniguruma reads them: one character may equal
// several.
import { codePoint, foldCase, foldedCharacter, multipleFolds } from './case_folding.js';
import type { Regex } from './regex.js';

/**
 * The expression for a run of characters. Of several characters that equal one, the first and longest group
 * counts, as in Oniguruma: ffi also matches ﬃ, but neither ﬀi nor fﬁ.
 *
 * @param isBehind in a lookbehind, where a character only equals single ones
 */
export function caselessLiteral(characters: readonly number[], isBehind: boolean): Regex[] {
  const folded = characters.map(foldedCharacter);
  const parts: Regex[] = [];
  for (let i = 0; i < characters.length; ) {
    const count = isBehind ? 1 : groupAt(folded, i);
    const text = folded.slice(i, i + count).join('');
    const equal = isBehind ? undefined : multipleFolds().get(text);
    if (equal) {
      const one: Regex = { type: 'set', source: `[${equal.map(codePoint).join('')}]` };
      parts.push({ type: 'choice', parts: [sequenceOf(text), one] });
    } else {
      parts.push(oneOf(characters[i] ?? 0));
    }
    i += count;
  }
  return parts;
}

/** For each character of a class that equals several others, these. */
export function foldsInClass(source: string): Regex[] {
  const isMember = new RegExp(`^${source}$`, 'v');
  return [...multipleFolds()].flatMap(([text, characters]) =>
    characters.some((value) => isMember.test(String.fromCodePoint(value)))
      ? [sequenceOf(text)]
      : [],
  );
}

/** Number of characters from a place on that equal one: 3, 2, or 1. */
function groupAt(folded: readonly string[], from: number): number {
  for (const count of [3, 2]) {
    const group = folded.slice(from, from + count);
    const isSingle = group.every((text) => [...text].length === 1);
    if (group.length === count && isSingle && multipleFolds().has(group.join(''))) return count;
  }
  return 1;
}

function sequenceOf(text: string): Regex {
  return { type: 'sequence', parts: [...text].map((one) => oneOf(one.codePointAt(0) ?? 0)) };
}

function oneOf(value: number): Regex {
  return { type: 'set', source: foldCase(`[${codePoint(value)}]`) };
}
