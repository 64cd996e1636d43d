// SentencePiece's precompiled normaliser: a trie from texts to replacements.
import { TokenizerError } from '../errors.js';
import type { Fields } from './fields.js';

/** @throws TokenizerError if the map is damaged */
export function precompiledNormalizer(fields: Fields): (text: string) => string {
  const base64 = fields.string('precompiled_charsmap', '');
  if (base64 === '') return (text) => text;
  const map = new CharacterMap(base64, fields.where);
  return (text) => map.normalize(text);
}

/** A double-array trie, and the texts to which its values are offsets. */
class CharacterMap {
  private readonly units: Uint32Array;
  private readonly texts: Uint8Array;
  private readonly segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' });
  private readonly encoder = new TextEncoder();
  private readonly decoder = new TextDecoder();
  private readonly known = new Map<string, string | undefined>();

  constructor(base64: string, where: string) {
    const bytes = bytesOf(base64, where);
    const view = new DataView(bytes.buffer);
    const size = bytes.length >= 4 ? view.getUint32(0, true) : 0;
    if (size % 4 !== 0 || size === 0 || size + 4 > bytes.length) {
      throw new TokenizerError(`${where}: its precompiled_charsmap is truncated`);
    }
    this.units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.texts = bytes.subarray(4 + size);
  }

  /** Looks up graphemes first, then the characters of those that are not in the map. */
  normalize(text: string): string {
    return text.replace(ASCII_OR_OTHER, (part) => {
      if (part.length === 1 && part < '\x7f') return this.lookUp(part) ?? part;
      let result = '';
      for (const { segment } of this.segmenter.segment(part)) result += this.grapheme(segment);
      return result;
    });
  }

  private grapheme(grapheme: string): string {
    if (this.encoder.encode(grapheme).length < 6) {
      const found = this.lookUp(grapheme);
      if (found !== undefined) return found;
    }
    let result = '';
    for (const character of grapheme) result += this.lookUp(character) ?? character;
    return result;
  }

  private lookUp(text: string): string | undefined {
    if (this.known.has(text)) return this.known.get(text);
    if (this.known.size > MAX_KNOWN) this.known.clear();
    const found = this.shortestPrefix(this.encoder.encode(text));
    this.known.set(text, found);
    return found;
  }

  /** The replacement of the shortest prefix in the map, which replaces the whole text. */
  private shortestPrefix(key: Uint8Array): string | undefined {
    let node = offsetOf(this.units[0] ?? 0);
    for (const byte of key) {
      if (byte === 0) return undefined;
      node ^= byte;
      const unit = this.units[node] ?? 0;
      if ((unit & LABEL) >>> 0 !== byte) return undefined;
      node ^= offsetOf(unit);
      if (((unit >>> 8) & 1) === 1) return this.textAt((this.units[node] ?? 0) & VALUE);
    }
    return undefined;
  }

  private textAt(start: number): string {
    const end = this.texts.indexOf(0, start);
    return this.decoder.decode(this.texts.subarray(start, end < 0 ? undefined : end));
  }
}

/** An ASCII character that is a grapheme (followed by another one), or the text up to the next one. */
const ASCII_OR_OTHER = /[ -~](?=[ -~])|.(?:(?![ -~]{2}).)*/gsu;
const LABEL = 0x800000ff;
const VALUE = 0x7fffffff;
const MAX_KNOWN = 10_000;

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}

function bytesOf(base64: string, where: string): Uint8Array {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch (cause) {
    throw new TokenizerError(`${where}: its precompiled_charsmap is not base64`, { cause });
  }
}
