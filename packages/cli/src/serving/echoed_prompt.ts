// The echoed prompt of a job. It is the same for all choices, so its JSON is made once.
import type { Tokenizer, TokenLogProb } from '@rene-js/rene';
import type { ChoicePiece } from './choice.js';
import type { Prompt } from './completion_request.js';
import { LogprobWriter } from './logprobs_json.js';
import { codePoints, sentOffsets } from './text_offsets.js';
import type { TokenTexts } from './token_texts.js';

export class EchoedPrompt {
  /** Its text so far, in code points. */
  length = 0;
  private readonly stream;
  private readonly writer: LogprobWriter | undefined;
  private readonly sentOffset: (offset: number) => number;
  private read = 0;
  /** Code points of the decoded tokens. */
  private decoded = 0;

  constructor(
    private readonly prompt: Prompt,
    tokenizer: Pick<Tokenizer, 'decode' | 'decodeStream'>,
    tokenTexts: TokenTexts,
    withLogprobs: boolean,
  ) {
    const { text, ids } = prompt;
    this.stream = tokenizer.decodeStream();
    this.writer = withLogprobs ? new LogprobWriter(tokenTexts) : undefined;
    const isMapped = withLogprobs && text !== undefined;
    this.sentOffset = isMapped ? sentOffsets(text, tokenizer.decode(ids)) : (offset) => offset;
  }

  /**
   * Adds prompt tokens.
   *
   * @param logProbs of these tokens; undefined if not requested
   * @returns the echoed part. A text is echoed as a whole, as it was sent, with its first tokens.
   */
  push(tokens: number, logProbs: readonly (TokenLogProb | null)[] | undefined): ChoicePiece {
    const { prompt, writer, read } = this;
    let text = read === 0 ? (prompt.text ?? '') : '';
    this.read += tokens;
    if (prompt.text === undefined || writer) {
      for (const [i, id] of prompt.ids.slice(read, this.read).entries()) {
        const offset = this.sentOffset(this.decoded);
        writer?.add(id, logProbs?.[i] ?? null, offset, read + i === 0);
        const part = this.stream.push(id);
        this.decoded += codePoints(part);
        if (prompt.text === undefined) text += part;
      }
      if (prompt.text === undefined && this.read >= prompt.ids.length) text += this.stream.end();
    }
    this.length += codePoints(text);
    return { text, logprobs: writer?.take() ?? null };
  }
}
