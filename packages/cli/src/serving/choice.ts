// Collects one choice of a completion: from new tokens to text and log-probabilities.
import type { FinishReason, Tokenizer, TokenLogProb } from '@rene-js/rene';
import { StopStringFilter } from '@rene-js/rene/internal';
import type { LogprobCollector, LogprobColumns } from './logprobs_json.js';
import { codePoints } from './text_offsets.js';

/** A choice, or a part of it. */
export interface ChoicePiece {
  text: string;
  /** null if not requested. */
  logprobs: LogprobColumns | null;
}

export interface ChoiceOptions {
  stop: readonly string[];
  /** Collects log-probabilities. Default: none are returned. */
  logprobs: LogprobCollector | undefined;
  /** Skip special tokens in the text. */
  skipSpecialTokens: boolean;
  /** The prompt, which determines whether the first new word has a space. */
  promptIds: readonly number[];
}

export class Choice {
  finishReason: 'stop' | 'length' | null = null;
  /** Number of new tokens, end of text included. */
  newTokens = 0;
  /** Sum of the new tokens' log-probabilities, if known. */
  logProb = 0;
  private readonly stream;
  private readonly filter: StopStringFilter;
  private readonly writer: LogprobCollector | undefined;
  private text = '';
  /** Code points of the new text. */
  private offset = 0;

  constructor(
    tokenizer: Pick<Tokenizer, 'decodeStream'>,
    { stop, logprobs, skipSpecialTokens, promptIds }: ChoiceOptions,
  ) {
    this.stream = tokenizer.decodeStream({ skipSpecialTokens, promptIds });
    this.filter = new StopStringFilter(stop);
    this.writer = logprobs;
  }

  /** @param echoed code points of the echoed prompt before it */
  push(
    id: number,
    logProb: TokenLogProb | undefined,
    finishReason: FinishReason | undefined,
    echoed: number,
  ): void {
    this.newTokens++;
    this.logProb += logProb?.logProb ?? 0;
    this.writer?.add(id, logProb ?? null, echoed + this.offset);
    this.text += this.filter.push(this.count(this.stream.push(id)));
    if (finishReason === undefined) return;
    this.text += this.filter.push(this.count(this.stream.end()));
    if (finishReason !== 'stop') this.text += this.filter.end();
    this.finishReason = finishReason === 'length' && !this.filter.stopped ? 'length' : 'stop';
  }

  /** The text and log-probabilities since the last call. */
  take(): ChoicePiece {
    const { text } = this;
    this.text = '';
    return { text, logprobs: this.writer?.take() ?? null };
  }

  private count(text: string): string {
    this.offset += codePoints(text);
    return text;
  }
}
