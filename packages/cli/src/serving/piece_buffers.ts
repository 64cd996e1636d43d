// A choice's JSON, collected while the model computes.
import type { ChoicePiece } from './choice.js';
import { jsonText } from './json_text.js';
import type { ToolCall } from './tool_calls.js';

/**
 * A choice's text and log-probabilities as JSON, serialised in pieces while the model computes. The choices
 * of a job share that of the echoed prompt.
 */
export class PieceBuffers {
  /** Without quotes. */
  readonly text: Buffer[] = [];
  readonly toolCalls: ToolCall[] = [];
  private readonly columns = new Map<string, Buffer[]>();

  /** The entries of a list of log-probabilities, without brackets. */
  column(name: string): readonly Buffer[] {
    return this.columns.get(name) ?? [];
  }

  add({ text, logprobs, toolCalls = [] }: ChoicePiece): void {
    this.toolCalls.push(...toolCalls);
    if (text !== '') this.text.push(Buffer.from(jsonText(text).slice(1, -1)));
    for (const [name, entries] of Object.entries(logprobs ?? {})) {
      if (entries === '') continue;
      const column = this.columns.get(name) ?? [];
      if (column.length > 0) column.push(COMMA);
      column.push(Buffer.from(entries));
      this.columns.set(name, column);
    }
  }
}

export const COMMA = Buffer.from(',');
