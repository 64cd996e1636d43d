// The text of an answer while it is generated.
import type { FinishReason } from '../generation/sequence.js';
import { StopStringFilter } from '../generation/stopping.js';
import type { Tokenizer } from '../tokenizer.js';

export class Answer {
  /** Without special tokens, up to a stop string. */
  text = '';
  /** As the state has seen it, without the end-of-text token. */
  raw = '';
  private readonly shown;
  private readonly whole;
  private readonly filter: StopStringFilter;

  /** @param promptIds the tokens before it */
  constructor(
    tokenizer: Pick<Tokenizer, 'decodeStream'>,
    promptIds: readonly number[],
    stopStrings: readonly string[],
  ) {
    this.shown = tokenizer.decodeStream({ skipSpecialTokens: true, promptIds });
    this.whole = tokenizer.decodeStream({ promptIds });
    this.filter = new StopStringFilter(stopStrings);
  }

  /** Adds a token. @returns the text that is now certain */
  push(id: number, finishReason: FinishReason | undefined): string {
    if (finishReason === 'eos') return this.end();
    this.raw += this.whole.push(id);
    const piece = this.add(this.filter.push(this.shown.push(id)));
    return finishReason === undefined ? piece : piece + this.end();
  }

  /** The text that was held back. */
  end(): string {
    this.raw += this.whole.end();
    return this.add(this.filter.push(this.shown.end()) + this.filter.end());
  }

  private add(piece: string): string {
    this.text += piece;
    return piece;
  }
}
