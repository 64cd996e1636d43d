// Token ids to text, a token at a time, without ever cutting a character in two.

/** Turns ids into text as they come. */
export interface DecodeStream {
  /** The characters that this token completed; '' while its bytes are the start of one. */
  push(id: number): string;
  /** What is left at the end: bytes of an incomplete character, as U+FFFD. */
  end(): string;
}

/** A token as the decoder needs it: raw bytes, or text that stands for itself (an added token). */
export type Piece = Uint8Array | string | undefined;

/**
 * For byte-level vocabularies, whose tokens are bytes of UTF-8. Each token is looked at once.
 *
 * @param piece the bytes of a token, its text, or undefined for ids that mean nothing.
 */
export function byteLevelStream(piece: (id: number) => Piece): DecodeStream {
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    push(id) {
      const found = piece(id);
      if (found === undefined) return '';
      return typeof found === 'string' ? utf8.decode() + found : utf8.decode(found, STREAM);
    },
    end: () => utf8.decode(),
  };
}

const STREAM = { stream: true };

/**
 * For any other decoder: decodes the last few tokens again with each new one and returns what that
 * added. Text that ends in U+FFFD waits for the next token, for at most MAX_WAIT tokens.
 */
export function windowStream(decode: (ids: number[]) => string): DecodeStream {
  let ids: number[] = [];
  let shown = 0; // ids whose text was returned
  const step = (final: boolean): string => {
    const before = decode(ids.slice(0, shown));
    const text = decode(ids);
    const waits = text.endsWith('\uFFFD') && ids.length - shown < MAX_WAIT;
    if (text.length <= before.length || (waits && !final)) return '';
    // The shown tokens before these give a decoder the context that it needs, such as a space.
    ids = ids.slice(shown);
    shown = ids.length;
    return text.slice(before.length);
  };
  return {
    push(id) {
      ids.push(id);
      return step(false);
    },
    end: () => (ids.length > shown ? step(true) : ''),
  };
}

/** A character of UTF-8 has at most four bytes. */
const MAX_WAIT = 4;

/** The bytes of a byte-level token: GPT-2's alphabet, in which every byte is a printable character. */
export function byteLevelBytes(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = BYTE_OF.get(character);
    if (byte === undefined) return new TextEncoder().encode(token);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/** Printable Latin-1 bytes stand for themselves, the others are shifted beyond 255, in order. */
const BYTE_OF: ReadonlyMap<string, number> = (() => {
  const isPrintable = (byte: number) =>
    (byte > 32 && byte < 127) || (byte > 160 && byte < 256 && byte !== 173);
  let next = 256;
  const pairs = Array.from({ length: 256 }, (_, byte): [string, number] => [
    String.fromCodePoint(isPrintable(byte) ? byte : next++),
    byte,
  ]);
  return new Map(pairs);
})();
