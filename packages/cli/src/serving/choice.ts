// Collects one choice of a completion: from new tokens to text and log-probabilities.
import type { FinishReason, Tokenizer, TokenLogProb } from '@rene-js/rene';
import { StopStringFilter } from '@rene-js/rene/internal';
import type { LogprobCollector, LogprobColumns } from './logprobs_json.js';
import { codePoints } from './text_offsets.js';
import type { ToolCall, ToolCallParser } from './tool_calls.js';

/** A choice, or a part of it. */
export interface ChoicePiece {
  text: string;
  /** null if not requested. */
  logprobs: LogprobColumns | null;
  /** Default: none. */
  toolCalls?: readonly ToolCall[];
  /** Number of tool calls before these. Default: 0. */
  firstCall?: number;
}

export interface ChoiceOptions {
  stop: readonly string[];
  /** Collects log-probabilities. Default: none are returned. */
  logprobs: LogprobCollector | undefined;
  /** Skip special tokens in the text. */
  skipSpecialTokens: boolean;
  /** The prompt, which determines whether the first new word has a space. */
  promptIds: readonly number[];
  /** Separates tool calls from the text. Default: they stay in the text. */
  tools?: ToolCallParser | undefined;
  /** Special tokens that are not skipped, since tool calls start or end with them. */
  callTokens?: ReadonlyMap<number, string> | undefined;
}

export class Choice {
  finishReason: 'stop' | 'length' | 'tool_calls' | null = null;
  /** Number of new tokens, end of text included. */
  newTokens = 0;
  /** Sum of the new tokens' log-probabilities, if known. */
  logProb = 0;
  private readonly stream;
  private readonly filter: StopStringFilter;
  private readonly writer: LogprobCollector | undefined;
  private text = '';
  /** Tool calls that have been taken. */
  private calls = 0;
  /** Code points of the new text. */
  private offset = 0;

  constructor(
    tokenizer: Pick<Tokenizer, 'decodeStream'>,
    private readonly options: ChoiceOptions,
  ) {
    const { stop, logprobs, skipSpecialTokens, promptIds } = options;
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
    const { tools, callTokens } = this.options;
    const marker = callTokens?.get(id) ?? '';
    this.add(this.filter.push(this.count(this.stream.push(id) + marker)));
    if (finishReason === undefined) return;
    this.add(this.filter.push(this.count(this.stream.end())));
    if (finishReason !== 'stop') this.add(this.filter.end());
    this.text += tools?.end() ?? '';
    const isCut = finishReason === 'length' && !this.filter.stopped;
    this.finishReason = isCut ? 'length' : tools?.any ? 'tool_calls' : 'stop';
  }

  /** The text, log-probabilities and tool calls since the last call. */
  take(): ChoicePiece {
    const { text } = this;
    this.text = '';
    const { tools } = this.options;
    const piece = { text, logprobs: this.writer?.take() ?? null };
    if (!tools) return piece;
    const toolCalls = tools.take();
    const firstCall = this.calls;
    this.calls += toolCalls.length;
    return { ...piece, toolCalls, firstCall };
  }

  private add(text: string): void {
    const { tools } = this.options;
    this.text += tools ? tools.push(text) : text;
  }

  private count(text: string): string {
    this.offset += codePoints(text);
    return text;
  }
}
