// The texts of single tokens for log-probabilities, cached.
import type { Tokenizer } from '@rene-js/rene';
import { jsonText } from './json_text.js';

export interface TokenText {
  /** Part of a character is U+FFFD. */
  readonly text: string;
  readonly json: string;
}

export class TokenTexts {
  private readonly texts = new Map<number, TokenText>();

  constructor(private readonly tokenizer: Pick<Tokenizer, 'tokenText'>) {}

  /** @param isFirst the token starts the text, for which some tokenizers omit its space */
  of(id: number, isFirst = false): TokenText {
    if (isFirst) {
      const text = this.tokenizer.tokenText(id, true);
      return { text, json: jsonText(text) };
    }
    let found = this.texts.get(id);
    if (!found) {
      const text = this.tokenizer.tokenText(id);
      found = { text, json: jsonText(text) };
      this.texts.set(id, found);
    }
    return found;
  }
}
