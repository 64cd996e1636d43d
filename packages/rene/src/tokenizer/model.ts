// Interface of a tokenizer.json's model.
import type { Vocabulary } from './vocabulary.js';

/** Splits words into tokens. */
export interface Model {
  readonly vocabulary: Vocabulary;
  /**
   * Appends the ids of a word. For a long word, the returned steps append them while the caller runs them.
   *
   * @throws TokenizerError
   */
  encode(word: string, ids: number[]): Iterable<void> | undefined;
}
