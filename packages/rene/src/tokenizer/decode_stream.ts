// Streaming decoder: token ids to text without splitting characters.
import type { Stage } from './decode_stage.js';

/** Converts ids to text incrementally. */
export interface DecodeStream {
  /** The text that this token completes; '' while it may be incomplete. */
  push(id: number): string;
  /** The remaining text: U+FFFD for an incomplete character. */
  end(): string;
}

/** A stream with a decoder. @param token undefined for skipped ids */
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
 * A stream that omits the text of tokens pushed before.
 *
 * @param shown the part of their text that the stream still holds back, as far as known
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

/** Length of the common prefix of two texts, in whole characters. */
function commonLength(a: string, b: string): number {
  let length = 0;
  for (const character of a) {
    if (!b.startsWith(character, length)) break;
    length += character.length;
  }
  return length;
}
