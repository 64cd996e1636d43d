// Log-probabilities as JSON text in the layout of OpenAI's completions API.
//
// Serialised directly: a prompt of 4,000 tokens with 20 alternatives each would be 80,000 objects for each
// choice.
import type { TokenLogProb } from '@rene-js/rene';
import type { TokenTexts } from './token_texts.js';

/** The lists of OpenAI's `logprobs` object, one entry per token. */
export const COLUMNS = ['tokens', 'token_logprobs', 'top_logprobs', 'text_offset'] as const;

/** The entries of each list as JSON, separated by commas, without brackets. */
export type LogprobColumns = Readonly<Record<string, string>>;

/** Collects the log-probabilities of a text's tokens. */
export interface LogprobCollector {
  /**
   * @param logProb null for the first token of an echoed prompt
   * @param offset offset of the token in the text, in Unicode code points
   * @param isFirst the token starts the text. Default: false.
   */
  add(id: number, logProb: TokenLogProb | null, offset: number, isFirst?: boolean): void;
  /** The entries added since the last call. */
  take(): LogprobColumns;
}

/** Collects them as /v1/completions returns them. */
export class LogprobWriter implements LogprobCollector {
  private readonly entries = {
    tokens: [] as string[],
    token_logprobs: [] as string[],
    top_logprobs: [] as string[],
    text_offset: [] as string[],
  };

  constructor(private readonly tokenTexts: TokenTexts) {}

  add(id: number, logProb: TokenLogProb | null, offset: number, isFirst = false): void {
    const { entries } = this;
    entries.tokens.push(this.tokenTexts.of(id, isFirst).json);
    entries.token_logprobs.push(logProb ? finite(logProb.logProb) : 'null');
    entries.top_logprobs.push(logProb ? this.alternatives(logProb) : 'null');
    entries.text_offset.push(String(offset));
  }

  take(): LogprobColumns {
    const { tokens, token_logprobs, top_logprobs, text_offset } = this.entries;
    return {
      tokens: tokens.splice(0).join(),
      token_logprobs: token_logprobs.splice(0).join(),
      top_logprobs: top_logprobs.splice(0).join(),
      text_offset: text_offset.splice(0).join(),
    };
  }

  /**
   * The top tokens, most probable first, and the token itself. The most probable one of equal texts (parts
   * of characters) wins.
   */
  private alternatives({ id, logProb, top }: TokenLogProb): string {
    const seen = new Set<string>();
    const entries: string[] = [];
    for (const other of [...top, { id, logProb }]) {
      const { text, json } = this.tokenTexts.of(other.id);
      if (seen.has(text)) continue;
      seen.add(text);
      entries.push(`${json}:${finite(other.logProb)}`);
    }
    return `{${entries.join()}}`;
  }
}

/** The `logprobs` object of these entries. */
export function logprobsJson(columns: LogprobColumns): string {
  return `{${COLUMNS.map((name) => `"${name}":[${columns[name] ?? ''}]`).join()}}`;
}

/** JSON has no infinity; an excluded token gets the smallest float32 instead. */
export function finite(value: number): string {
  return Number.isFinite(value) ? String(value) : '-3.4e+38';
}
