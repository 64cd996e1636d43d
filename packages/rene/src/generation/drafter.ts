// Drafts of next tokens, which one pass verifies: from the sequence's own n-grams or by a small model.

/** Proposes the tokens that may come next. */
export interface Drafter {
  /**
   * @param ids prompt and new tokens
   * @returns the kind of draft that it has; drafts of one kind are right about equally often. undefined if it
   *   has none.
   */
  kindOf(ids: readonly number[]): number | undefined;
  /**
   * @param ids those of the last call of kindOf()
   * @param most maximum number of tokens, 1 or more
   */
  propose(ids: readonly number[], most: number): readonly number[] | Promise<readonly number[]>;
  dispose(): void;
}

/** Longest and shortest n-gram that is looked up. */
const NGRAM = { longest: 5, shortest: 2 };

/**
 * Prompt lookup: the tokens that followed the latest earlier occurrence of the last tokens, for text that
 * repeats parts of its prompt. Longer n-grams are preferred. The kind of a draft is the n-gram's length.
 */
export class PromptLookup implements Drafter {
  /** For each n-gram length: the end of the latest occurrence of each n-gram, before the last token. */
  private readonly ends = new Map<number, Map<string, number>>();
  /** Number of tokens whose n-grams are in `ends`. */
  private indexed = 0;
  /** Where the last tokens occurred before. */
  private end = 0;

  kindOf(ids: readonly number[]): number | undefined {
    this.index(ids);
    for (let n = NGRAM.longest; n >= NGRAM.shortest; n--) {
      if (ids.length <= n) continue;
      const end = this.ends.get(n)?.get(key(ids, ids.length, n));
      if (end === undefined) continue;
      this.end = end;
      return n;
    }
    return undefined;
  }

  /** The tokens that followed. Where the text ends, what it repeats goes on. */
  propose(ids: readonly number[], most: number): readonly number[] {
    const period = ids.length - this.end;
    return Array.from({ length: most }, (_, i) => ids[this.end + (i % period)] ?? 0);
  }

  dispose(): void {
    this.ends.clear();
  }

  /** Adds the n-grams that end before the last token. */
  private index(ids: readonly number[]): void {
    for (let n = NGRAM.shortest; n <= NGRAM.longest; n++) {
      const ends = this.ends.get(n) ?? new Map<string, number>();
      this.ends.set(n, ends);
      for (let end = Math.max(n, this.indexed + 1); end < ids.length; end++) {
        ends.set(key(ids, end, n), end);
      }
    }
    this.indexed = Math.max(0, ids.length - 1);
  }
}

function key(ids: readonly number[], end: number, n: number): string {
  return ids.slice(end - n, end).join();
}
