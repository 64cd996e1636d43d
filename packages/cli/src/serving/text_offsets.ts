// Maps offsets in the decoded text of a prompt's tokens to offsets in the prompt as sent.
//
// They differ if the tokenizer normalises text (NFC) or adds tokens such as a BOS.

/** Counts Unicode code points. */
export function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/**
 * @param sent the prompt
 * @param decoded the text of its tokens
 * @returns a function from an offset in `decoded` to one in `sent`, both in code points
 */
export function sentOffsets(sent: string, decoded: string): (offset: number) => number {
  const length = codePoints(sent);
  const at = decoded.indexOf(sent);
  if (at >= 0) return shift(codePoints(decoded.slice(0, at)), length);
  const graphemes = [...new Intl.Segmenter().segment(sent)].map(({ segment }) => segment);
  const composed = graphemes.map((grapheme) => grapheme.normalize('NFC'));
  const composedAt = decoded.indexOf(composed.join(''));
  if (composedAt < 0) return shift(0, length);
  const origin: number[] = [];
  let start = 0;
  for (const [i, grapheme] of graphemes.entries()) {
    const size = codePoints(grapheme);
    const kept = codePoints(composed[i] ?? '');
    for (let k = 0; k < kept; k++) origin.push(start + Math.min(k, size - 1));
    start += size;
  }
  const before = shift(codePoints(decoded.slice(0, composedAt)), origin.length);
  return (offset) => origin[before(offset)] ?? length;
}

function shift(before: number, length: number): (offset: number) => number {
  return (offset) => Math.min(Math.max(0, offset - before), length);
}
