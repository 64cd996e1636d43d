// Trains a byte-level BPE vocabulary and writes it as a tokenizer.json.
//
// Text is split into words as in GPT-2, and words into bytes. Then the most frequent pair of adjacent
// tokens is merged, repeatedly. Pair counts are updated incrementally.
import { InvalidArgumentError } from '@rene-js/layers';
import { MaxHeap } from './max_heap.js';

/** GPT-2's words: contractions, letters, digits, others, each with at most one leading space. */
const WORDS = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** Options of tokenizer training. */
export interface BpeOptions {
  /** Size of the vocabulary: special tokens, the 256 bytes, then merges. */
  vocabSize: number;
  /**
   * Special tokens, which get the first ids. Default: `<
   * endoftext
   * >` and `<
   * padding
   * >`.
   */
  specialTokens?: readonly string[];
}

/** A trained vocabulary: special tokens first, then single bytes, then merges in order. */
export interface BpeVocabulary {
  readonly specialTokens: readonly string[];
  /** The token of each id, with bytes as GPT-2's visible characters. */
  readonly tokens: readonly string[];
  readonly merges: readonly (readonly [left: string, right: string])[];
}

/**
 * Trains a vocabulary. It does not depend on the order of the texts: pairs with equal counts are merged in
 * order of their ids. It is smaller than vocabSize if no pair is left.
 *
 * @throws InvalidArgumentError if vocabSize is too small for the bytes and the special tokens
 */
export function trainBpe(texts: Iterable<string>, options: BpeOptions): BpeVocabulary {
  const { vocabSize, specialTokens = ['<|endoftext|>', '<|padding|>'] } = options;
  const tokens = [...specialTokens, ...BYTE_CHARACTERS];
  if (!Number.isInteger(vocabSize) || vocabSize < tokens.length) {
    throw new InvalidArgumentError(
      'vocabSize',
      `an integer of at least ${tokens.length} (256 bytes and the special tokens)`,
      String(vocabSize),
    );
  }
  if (new Set(tokens).size < tokens.length) {
    throw new InvalidArgumentError(
      'specialTokens',
      'different tokens, none of a single character',
      specialTokens.join(' '),
    );
  }
  const pairs = new PairIndex(countWords(texts, specialTokens.length));
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const merges: [string, string][] = [];
  while (tokens.length < vocabSize) {
    const pair = pairs.mostFrequent();
    if (!pair) break;
    const left = tokens[pair.left] ?? '';
    const right = tokens[pair.right] ?? '';
    const token = left + right;
    // Two pairs may produce the same token.
    const id = ids.get(token) ?? tokens.push(token) - 1;
    ids.set(token, id);
    pairs.merge(pair.left, pair.right, id);
    merges.push([left, right]);
  }
  return { specialTokens, tokens, merges };
}

/** The vocabulary as a tokenizer.json for the Hugging Face tokenizers libraries. */
export function tokenizerJson({ specialTokens, tokens, merges }: BpeVocabulary): string {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: { type: 'NFC' },
    pre_tokenizer: { ...byteLevel, use_regex: true },
    post_processor: null,
    decoder: { ...byteLevel, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map(([left, right]) => `${left} ${right}`),
    },
  };
  return `${JSON.stringify(json, null, 1)}\n`;
}

/** A distinct word as token ids, which merges shorten, with its count. */
interface Word {
  ids: number[];
  readonly count: number;
}

function countWords(texts: Iterable<string>, firstByteId: number): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const word of text.normalize('NFC').match(WORDS) ?? []) {
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  const utf8 = new TextEncoder();
  return [...counts].map(([word, count]) => ({
    ids: Array.from(utf8.encode(word), (byte) => byte + firstByteId),
    count,
  }));
}

interface Pair {
  readonly left: number;
  readonly right: number;
  /**
   * The pair's count when it was added to the heap. An outdated, larger count is detected when it is
   * removed.
   */
  readonly count: number;
}

/** Counts of all adjacent pairs, and the words that contain them. */
class PairIndex {
  private readonly counts = new Map<number, number>();
  private readonly wordsOf = new Map<number, Set<Word>>();
  private readonly heap = new MaxHeap<Pair>(
    (a, b) => a.count - b.count || b.left - a.left || b.right - a.right,
  );

  constructor(words: readonly Word[]) {
    for (const word of words) this.forEachPair(word, (key) => this.change(key, word, word.count));
    for (const key of this.counts.keys()) this.offer(key);
  }

  mostFrequent(): Pair | undefined {
    for (let pair = this.heap.pop(); pair; pair = this.heap.pop()) {
      const key = keyOf(pair.left, pair.right);
      const count = this.counts.get(key) ?? 0;
      if (count === pair.count && count > 0) return pair;
      if (count > 0) this.offer(key);
    }
    return undefined;
  }

  /** Replaces the pair by a new token in every word that contains it. */
  merge(left: number, right: number, token: number): void {
    const merged = keyOf(left, right);
    const words = this.wordsOf.get(merged) ?? new Set();
    this.wordsOf.delete(merged);
    const changed = new Set<number>();
    for (const word of words) {
      this.forEachPair(word, (key) => this.change(key, word, -word.count));
      word.ids = withPairMerged(word.ids, left, right, token);
      this.forEachPair(word, (key) => {
        this.change(key, word, word.count);
        changed.add(key);
      });
    }
    this.counts.delete(merged);
    for (const key of changed) this.offer(key);
  }

  private forEachPair({ ids }: Word, visit: (key: number) => void): void {
    for (let i = 1; i < ids.length; i++) visit(keyOf(ids[i - 1] ?? 0, ids[i] ?? 0));
  }

  /** Words stay listed under pairs that they no longer contain; merging them has no effect. */
  private change(key: number, word: Word, by: number): void {
    this.counts.set(key, (this.counts.get(key) ?? 0) + by);
    if (by < 0) return;
    const words = this.wordsOf.get(key);
    if (words) words.add(word);
    else this.wordsOf.set(key, new Set([word]));
  }

  private offer(key: number): void {
    const count = this.counts.get(key) ?? 0;
    this.heap.push({ left: Math.floor(key / KEY_BASE), right: key % KEY_BASE, count });
  }
}

/** Upper bound of ids, so that a pair is an exact number. */
const KEY_BASE = 2 ** 26;

function keyOf(left: number, right: number): number {
  return left * KEY_BASE + right;
}

function withPairMerged(ids: number[], left: number, right: number, token: number): number[] {
  const merged: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] ?? 0;
    if (id === left && ids[i + 1] === right) {
      merged.push(token);
      i++;
    } else {
      merged.push(id);
    }
  }
  return merged;
}

/**
 * The visible character for each byte of a byte-level vocabulary: itself if it is printable Latin-1, else
 * the next unused one from U+0100 on.
 */
const BYTE_CHARACTERS: readonly string[] = (() => {
  let next = 0x100;
  const isPrintable = (byte: number) =>
    (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(isPrintable(byte) ? byte : next++),
  );
})();
