// Byte-pair encoding: merges adjacent symbols of a word in the order of the merges.
import { TokenizerError } from '../errors.js';
import type { Fields } from './fields.js';
import type { Model } from './model.js';
import { NumberHeap } from './number_heap.js';
import { PairTable } from './pair_table.js';
import { Vocabulary } from './vocabulary.js';

export class BpeModel implements Model {
  readonly vocabulary: Vocabulary;
  /** From a pair of ids to the rank of its merge. */
  private readonly ranks = new PairTable();
  /** By rank: the id that the merge produces. */
  private readonly merged: number[] = [];
  private readonly cache = new Map<string, readonly number[]>();
  /** Ids of characters seen so far, since a map of strings is much slower. */
  private readonly characterIds = new Map<number, number>();
  private readonly encoder = new TextEncoder();
  private readonly unknown: string | undefined;
  private readonly fusesUnknown: boolean;
  /** Whether unknown characters are encoded as bytes. */
  private readonly byteIds: readonly (number | undefined)[] | undefined;
  private readonly ignoresMerges: boolean;
  private readonly prefix: string;
  private readonly suffix: string;

  /** @throws TokenizerError */
  constructor(fields: Fields) {
    this.vocabulary = Vocabulary.read(fields);
    if ((fields.get('dropout') ?? 0) !== 0) {
      fields.refuse('dropout', 'null: with a dropout, the tokenizers library encodes at random');
    }
    this.unknown = fields.has('unk_token') ? fields.string('unk_token') : undefined;
    this.fusesUnknown = fields.boolean('fuse_unk', false);
    this.ignoresMerges = fields.boolean('ignore_merges', false);
    this.prefix = fields.string('continuing_subword_prefix', '');
    this.suffix = fields.string('end_of_word_suffix', '');
    if (fields.boolean('byte_fallback', false)) this.byteIds = this.vocabulary.byteIds();
    fields.list('merges').forEach((merge, rank) => {
      this.addMerge(merge, rank, `${fields.where}.merges[${rank}]`);
    });
  }

  encode(word: string, ids: number[]): Iterable<void> | undefined {
    if (word.length > SHORT) return this.steps(word, ids);
    let own = this.cache.get(word);
    if (!own) {
      const found: number[] = [];
      for (const _ of this.steps(word, found));
      if (this.cache.size >= MAX_CACHED) this.cache.clear();
      this.cache.set(word, found);
      own = found;
    }
    for (const id of own) ids.push(id);
    return undefined;
  }

  private *steps(word: string, ids: number[]): Generator<void, void, void> {
    const whole = this.ignoresMerges ? this.vocabulary.id(word) : undefined;
    if (whole !== undefined) {
      ids.push(whole);
      return;
    }
    const symbols = yield* this.symbols(word);
    if (symbols.length <= FEW) {
      this.mergeFew(symbols);
      for (const id of symbols) ids.push(id);
    } else {
      yield* this.mergeMany(symbols, ids);
    }
  }

  /** A word's characters as ids. */
  private *symbols(word: string): Generator<void, number[], void> {
    const { prefix, suffix, byteIds } = this;
    const symbols: number[] = [];
    let steps = 0;
    // Unknown characters wait for the next known one, so that a run of them can become one token.
    let waiting: number | undefined;
    for (let at = 0; at < word.length; ) {
      if (++steps % STEPS === 0) yield;
      const code = word.codePointAt(at) ?? 0;
      const end = at + (code > 0xffff ? 2 : 1);
      const before = at > 0 ? prefix : '';
      const behind = end === word.length ? suffix : '';
      at = end;
      const id = this.characterId(code, before, behind);
      if (id !== undefined) {
        if (waiting !== undefined) symbols.push(waiting);
        waiting = undefined;
        symbols.push(id);
        continue;
      }
      const bytes = byteIds && this.bytesOf(before + String.fromCodePoint(code) + behind, byteIds);
      if (bytes) {
        symbols.push(...bytes);
      } else if (this.unknown !== undefined) {
        if (waiting !== undefined && !this.fusesUnknown) symbols.push(waiting);
        waiting = this.vocabulary.unknownId(this.unknown);
      }
    }
    if (waiting !== undefined) symbols.push(waiting);
    return symbols;
  }

  /** The id of a character with the affix of its position in the word. */
  private characterId(code: number, before: string, behind: string): number | undefined {
    if (before !== '' || behind !== '') {
      return this.vocabulary.id(before + String.fromCodePoint(code) + behind);
    }
    const known = this.characterIds.get(code);
    if (known !== undefined) return known;
    const id = this.vocabulary.id(String.fromCodePoint(code));
    if (id !== undefined) this.characterIds.set(code, id);
    return id;
  }

  private bytesOf(
    text: string,
    byteIds: readonly (number | undefined)[],
  ): readonly number[] | undefined {
    const ids = [...this.encoder.encode(text)].map((byte) => byteIds[byte]);
    const known = ids.filter((id) => id !== undefined);
    return known.length === ids.length ? known : undefined;
  }

  /** Merges in place, searching for the first merge each time. */
  private mergeFew(symbols: number[]): void {
    for (;;) {
      let best = -1;
      let place = 0;
      for (let i = 0; i + 1 < symbols.length; i++) {
        const rank = this.ranks.get(symbols[i] ?? 0, symbols[i + 1] ?? 0);
        if (rank < 0 || (best >= 0 && rank >= best)) continue;
        best = rank;
        place = i;
      }
      if (best < 0) return;
      symbols[place] = this.merged[best] ?? 0;
      symbols.splice(place + 1, 1);
    }
  }

  /** Merges with a heap in n log n steps. */
  private *mergeMany(symbols: readonly number[], ids: number[]): Generator<void, void, void> {
    const count = symbols.length;
    const own = Int32Array.from(symbols);
    const before = new Int32Array(count);
    const after = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      before[i] = i - 1;
      after[i] = i + 1;
    }
    /** The merge rank of each symbol and its successor; -1 for none. */
    const ranks = new Int32Array(count).fill(-1);
    const heap = new NumberHeap();
    let steps = 0;
    const rank = (i: number): void => {
      const next = after[i] ?? count;
      const found = next < count ? this.ranks.get(own[i] ?? 0, own[next] ?? 0) : -1;
      ranks[i] = found;
      if (found >= 0) heap.push(found * MAX_LENGTH + i);
    };
    for (let i = 0; i + 1 < count; i++) {
      rank(i);
      if (++steps % STEPS === 0) yield;
    }
    for (let key = heap.pop(); key >= 0; key = heap.pop()) {
      if (++steps % STEPS === 0) yield;
      const best = Math.floor(key / MAX_LENGTH);
      const i = key - best * MAX_LENGTH;
      if (ranks[i] !== best) continue; // one of the two is part of another merge by now
      const next = after[i] ?? count;
      const following = after[next] ?? count;
      own[i] = this.merged[best] ?? 0;
      ranks[next] = -1;
      after[i] = following;
      if (following < count) before[following] = i;
      rank(i);
      const previous = before[i] ?? -1;
      if (previous >= 0) rank(previous);
    }
    for (let i = 0; i < count; i = after[i] ?? count) {
      ids.push(own[i] ?? 0);
      if (++steps % STEPS === 0) yield;
    }
  }

  private addMerge(merge: unknown, rank: number, where: string): void {
    const pair: unknown[] = typeof merge === 'string' ? merge.split(' ') : [];
    const [first, second, ...more] = Array.isArray(merge) ? merge : pair;
    if (typeof first !== 'string' || typeof second !== 'string' || more.length > 0) {
      throw new TokenizerError(`${where}: expected two tokens, found ${JSON.stringify(merge)}`);
    }
    const idOf = (token: string): number => {
      const id = this.vocabulary.id(token);
      if (id !== undefined) return id;
      throw new TokenizerError(`${where}: ${JSON.stringify(token)} is not in the vocabulary`);
    };
    this.merged.push(idOf(first + second.slice(this.prefix.length)));
    this.ranks.set(idOf(first), idOf(second), rank);
  }
}

/** Words up to this length are cached, and encoded without a pause. */
const SHORT = 256;
const MAX_CACHED = 20_000;
/** Below this number of symbols, searching is faster than a heap. */
const FEW = 40;
/** Steps between pauses. */
const STEPS = 1 << 16;
/** More symbols than a string has characters; the product with a rank is exact. */
const MAX_LENGTH = 2 ** 29;
