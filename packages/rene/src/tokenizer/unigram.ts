// Unigram: the segmentation of a word with the highest sum of scores.
import { TokenizerError } from '../errors.js';
import type { Fields } from './fields.js';
import type { Model } from './model.js';
import { PairTable } from './pair_table.js';
import { Vocabulary } from './vocabulary.js';

export class UnigramModel implements Model {
  readonly vocabulary: Vocabulary;
  private readonly scores: Float64Array;
  private readonly unknownId: number | undefined;
  private readonly unknownScore: number;
  private readonly byteIds: readonly (number | undefined)[] | undefined;
  private readonly encoder = new TextEncoder();
  /** A trie of UTF-16 units: from a node and a unit to the next node. Node 0 is its root. */
  private readonly trie = new PairTable();
  /** By node: the id of its token; -1 for none. */
  private readonly ends: number[] = [-1];

  /** @throws TokenizerError */
  constructor(fields: Fields) {
    const entries = fields.list('vocab').map((entry, id): [string, number] => {
      const [token, score] = Array.isArray(entry) ? entry : [];
      if (typeof token === 'string' && typeof score === 'number') return [token, score];
      const found = JSON.stringify(entry);
      throw new TokenizerError(
        `${fields.where}.vocab[${id}]: expected a token and its score, found ${found}`,
      );
    });
    this.vocabulary = new Vocabulary(new Map(entries.map(([token], id) => [token, id])));
    this.scores = Float64Array.from(entries, ([, score]) => score);
    this.unknownScore =
      this.scores.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY) - PENALTY;
    if (fields.has('unk_id')) {
      this.unknownId = fields.count('unk_id', 0);
      if (this.unknownId >= entries.length) fields.refuse('unk_id', 'the id of a token');
    }
    if (fields.boolean('byte_fallback', false)) this.byteIds = this.vocabulary.byteIds();
    entries.forEach(([token], id) => {
      if (token !== '') this.add(token, id);
    });
  }

  encode(word: string, ids: number[]): Iterable<void> | undefined {
    const steps = this.steps(word, ids);
    if (word.length > SHORT) return steps;
    for (const _ of steps);
    return undefined;
  }

  private *steps(word: string, ids: number[]): Generator<void, void, void> {
    const { length } = word;
    // By position: the best segmentation that ends there, as its last token's start and id.
    const best = new Float64Array(length + 1);
    const starts = new Int32Array(length + 1).fill(-1);
    const last = new Int32Array(length + 1);
    let steps = 0;
    for (let start = 0; start < length; ) {
      const single = start + ((word.codePointAt(start) ?? 0) > 0xffff ? 2 : 1);
      const soFar = best[start] ?? 0;
      let hasSingle = false;
      let node = 0;
      for (let end = start; end < length; ) {
        node = this.trie.get(node, word.charCodeAt(end));
        if (node < 0) break;
        end++;
        if (++steps % STEPS === 0) yield;
        const id = this.ends[node] ?? -1;
        if (id < 0) continue;
        const score = soFar + (this.scores[id] ?? 0);
        if (starts[end] === -1 || score > (best[end] ?? 0)) {
          best[end] = score;
          starts[end] = start;
          last[end] = id;
        }
        hasSingle ||= end === single;
      }
      if (!hasSingle) {
        const score = soFar + this.unknownScore;
        if (starts[single] === -1 || score > (best[single] ?? 0)) {
          best[single] = score;
          starts[single] = start;
          last[single] = this.unknown();
        }
      }
      start = single;
    }
    this.collect(word, starts, last, ids);
  }

  /** From end to start, then reversed. A run of unknown characters is one text. */
  private collect(word: string, starts: Int32Array, last: Int32Array, ids: number[]): void {
    const found: number[] = [];
    let unknownEnd = -1;
    for (let end = word.length; end > 0; ) {
      const start = starts[end] ?? 0;
      const id = last[end] ?? 0;
      if (id === this.unknownId) {
        if (unknownEnd < 0) unknownEnd = end;
      } else {
        if (unknownEnd >= 0) found.push(...this.unknownText(word.slice(end, unknownEnd)));
        unknownEnd = -1;
        found.push(id);
      }
      end = start;
    }
    if (unknownEnd >= 0) found.push(...this.unknownText(word.slice(0, unknownEnd)));
    for (let i = found.length - 1; i >= 0; i--) ids.push(found[i] ?? 0);
  }

  /** The ids of an unknown text, last one first. */
  private unknownText(text: string): number[] {
    const id = this.vocabulary.id(text);
    if (id !== undefined) return [id];
    if (this.byteIds) {
      const ids: number[] = [];
      for (const byte of this.encoder.encode(text)) {
        const byteId = this.byteIds[byte];
        if (byteId === undefined) return [this.unknown()];
        ids.push(byteId);
      }
      return ids.reverse();
    }
    return [this.unknown()];
  }

  private unknown(): number {
    if (this.unknownId !== undefined) return this.unknownId;
    throw new TokenizerError('unknown text cannot be encoded: the vocabulary has no unk_id');
  }

  private add(token: string, id: number): void {
    let node = 0;
    for (let i = 0; i < token.length; i++) {
      const unit = token.charCodeAt(i);
      let next = this.trie.get(node, unit);
      if (next < 0) {
        next = this.ends.length;
        this.ends.push(-1);
        this.trie.set(node, unit, next);
      }
      node = next;
    }
    this.ends[node] = id;
  }
}

/** Penalty of unknown text below the lowest score. */
const PENALTY = 10;
const SHORT = 4096;
/** Steps between pauses. */
const STEPS = 1 << 16;
