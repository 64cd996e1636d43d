// GPT-2's byte alphabet, in which every byte is a printable character.

/** Printable Latin-1 bytes stand for themselves; the others are numbered from 256 on. */
const CHARACTER_OF_BYTE: readonly string[] = (() => {
  const isPrintable = (byte: number) =>
    (byte > 32 && byte < 127) || (byte > 160 && byte < 256 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(isPrintable(byte) ? byte : next++),
  );
})();

const BYTE_OF_CHARACTER = new Map(CHARACTER_OF_BYTE.map((character, byte) => [character, byte]));
const encoder = new TextEncoder();

/** The UTF-8 bytes of a text as characters of the alphabet. */
export function toByteCharacters(text: string): string {
  if (STANDS_FOR_ITSELF.test(text)) return text;
  const bytes = encoder.encode(text);
  if (bytes.length > CHUNK) return inChunks(bytes);
  let spelled = '';
  for (const byte of bytes) spelled += CHARACTER_OF_BYTE[byte] ?? '';
  return spelled;
}

/** Appending single characters is ten times slower for a long text, and takes ten times the memory. */
function inChunks(bytes: Uint8Array): string {
  const codes = new Uint16Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) codes[i] = CODE_OF_BYTE[bytes[i] ?? 0] ?? 0;
  const chunks: string[] = [];
  for (let at = 0; at < codes.length; at += CHUNK) {
    chunks.push(String.fromCharCode(...codes.subarray(at, at + CHUNK)));
  }
  return chunks.join('');
}

/** Number of arguments that every engine accepts. */
const CHUNK = 4096;
const CODE_OF_BYTE = Uint16Array.from(CHARACTER_OF_BYTE, (character) => character.charCodeAt(0));

const STANDS_FOR_ITSELF = /^[!-~]*$/;

/** The bytes of a token; the UTF-8 bytes of its text if a character is not in the alphabet. */
export function fromByteCharacters(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = BYTE_OF_CHARACTER.get(character);
    if (byte === undefined) return encoder.encode(token);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
