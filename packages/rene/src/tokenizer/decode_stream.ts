// Token ids to text, a token at a time, without ever cutting a character in two.
import type { Stage } from './decode_stage.js';

/** Turns ids into text as they come. */
export interface DecodeStream {
  /** The text that this token completed; '' while it may be the start of something. */
  push(id: number): string;
  /** What is left at the end: bytes of an incomplete character, as U+FFFD. */
  end(): string;
}

/** A stream through a decoder. @param token undefined for ids that are left out */
export function streamThrough(
  stage: Stage,
  token: (id: number) => string | undefined,
): DecodeStream {
  return {
    push(id) {
      const text = token(id);
      return text === undefined ? '' : stage.push(text).join('');
    },
    end: () => stage.end().join(''),
  };
}

/**
 * A stream without the text of the tokens that were pushed before.
 *
 * @param shown text of those tokens that the stream still holds back, as far as it is known
 */
export function streamAfter(stream: DecodeStream, shown: string): DecodeStream {
  let held = '';
  let known = shown;
  const unshown = (text: string): string => {
    if (known === '') return text;
    held += text;
    const same = commonLength(held, known);
    if (same === held.length && same < known.length) return '';
    known = '';
    return held.slice(same);
  };
  return { push: (id) => unshown(stream.push(id)), end: () => unshown(stream.end()) };
}

/** How many units two texts have in common at the start, in whole characters. */
function commonLength(a: string, b: string): number {
  let length = 0;
  for (const character of a) {
    if (!b.startsWith(character, length)) break;
    length += character.length;
  }
  return length;
}
