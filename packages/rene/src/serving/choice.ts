// One choice of a completion: tokens in, text and log-probabilities out, all at once or in pieces.
import type { TokenLogProb } from '../generation/choose.js';
import type { FinishReason } from '../generation/sequence.js';
import { StopStringFilter } from '../generation/stopping.js';
import type { Tokenizer } from '../tokenizer.js';
import type { TokenTexts } from './token_texts.js';

/** As OpenAI's API has it; an entry a token. */
export interface ChoiceLogprobs {
  tokens: string[];
  /** null where nothing comes before: the first of an echoed prompt. */
  token_logprobs: (number | null)[];
  top_logprobs: (Record<string, number> | null)[];
  /** Unicode code points of the text before the token. */
  text_offset: number[];
}

export interface ChoicePiece {
  text: string;
  logprobs: ChoiceLogprobs | null;
}

export class Choice {
  finishReason: 'stop' | 'length' | null = null;
  /** New tokens, the end of text included. */
  newTokens = 0;
  /** The sum of the new tokens' log-probabilities, where they are known. */
  logProb = 0;
  private readonly echoed;
  private readonly stream;
  private readonly filter: StopStringFilter;
  private text = '';
  /** Code points of all that was decoded. */
  private offset = 0;
  private logprobs: ChoiceLogprobs | null;

  constructor(
    tokenizer: Pick<Tokenizer, 'decodeStream'>,
    private readonly tokenTexts: TokenTexts,
    stop: readonly string[],
    private readonly withLogprobs: boolean,
  ) {
    this.echoed = tokenizer.decodeStream();
    this.stream = tokenizer.decodeStream({ skipSpecialTokens: true });
    this.filter = new StopStringFilter(stop);
    this.logprobs = withLogprobs ? noLogprobs() : null;
  }

  /** More of the prompt, for echo. */
  echo(
    ids: readonly number[],
    logProbs: readonly (TokenLogProb | null)[] | undefined,
    isLast: boolean,
  ): void {
    ids.forEach((id, i) => {
      this.note(id, logProbs?.[i] ?? null);
      this.text += this.count(this.echoed.push(id));
    });
    if (isLast) this.text += this.count(this.echoed.end());
  }

  /** A new token. */
  push(
    id: number,
    logProb: TokenLogProb | undefined,
    finishReason: FinishReason | undefined,
  ): void {
    this.newTokens++;
    this.logProb += logProb?.logProb ?? 0;
    this.note(id, logProb ?? null);
    this.text += this.filter.push(this.count(this.stream.push(id)));
    if (finishReason === undefined) return;
    this.text += this.filter.push(this.count(this.stream.end()));
    if (finishReason !== 'stop') this.text += this.filter.end();
    this.finishReason = finishReason === 'length' && !this.filter.stopped ? 'length' : 'stop';
  }

  /** What has come since the last call. */
  take(): ChoicePiece {
    const piece = { text: this.text, logprobs: this.logprobs };
    this.text = '';
    this.logprobs = this.withLogprobs ? noLogprobs() : null;
    return piece;
  }

  private count(text: string): string {
    for (const _ of text) this.offset++;
    return text;
  }

  private note(id: number, logProb: TokenLogProb | null): void {
    const { logprobs } = this;
    if (!logprobs) return;
    const token = this.tokenTexts.text(id);
    logprobs.tokens.push(token);
    logprobs.token_logprobs.push(logProb && finite(logProb.logProb));
    logprobs.top_logprobs.push(logProb && this.topOf(logProb, token));
    logprobs.text_offset.push(this.offset);
  }

  /** The likeliest first; of tokens of the same text (parts of characters) the likeliest stays. */
  private topOf({ logProb, top }: TokenLogProb, token: string): Record<string, number> {
    const entries = new Map<string, number>();
    for (const { id, logProb: value } of top) {
      const text = this.tokenTexts.text(id);
      if (!entries.has(text)) entries.set(text, finite(value));
    }
    if (!entries.has(token)) entries.set(token, finite(logProb));
    return Object.fromEntries(entries);
  }
}

function noLogprobs(): ChoiceLogprobs {
  return { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
}

/** JSON has no infinity; a token that is ruled out gets what float32 has instead. */
function finite(value: number): number {
  return Number.isFinite(value) ? value : -3.4e38;
}
