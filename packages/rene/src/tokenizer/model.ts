// What a model of a tokenizer.json does.
import type { Vocabulary } from './vocabulary.js';

/** Takes words apart. */
export interface Model {
  readonly vocabulary: Vocabulary;
  /**
   * Appends the ids of a word. A long word takes long: its ids are appended while the caller runs
   * the steps that are returned.
   *
   * @throws TokenizerError
   */
  encode(word: string, ids: number[]): Iterable<void> | undefined;
}
