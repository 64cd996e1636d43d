// The text of single tokens, which log-probabilities are told by, remembered.
import type { Tokenizer } from '../tokenizer.js';

export class TokenTexts {
  private readonly texts = new Map<number, string>();

  constructor(private readonly tokenizer: Pick<Tokenizer, 'decode'>) {}

  /** A part of a character is U+FFFD. */
  text(id: number): string {
    let text = this.texts.get(id);
    if (text === undefined) {
      text = this.tokenizer.decode([id]);
      this.texts.set(id, text);
    }
    return text;
  }
}
