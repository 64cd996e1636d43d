// JSON of choices: as buffers for whole answers, as text for streamed parts.
import type { ChoicePiece } from './choice.js';
import { jsonText } from './json_text.js';
import { COLUMNS, logprobsJson } from './logprobs_json.js';

/**
 * A choice's text and log-probabilities as JSON, serialised in pieces while the model computes. The choices
 * of a job share that of the echoed prompt.
 */
export class PieceBuffers {
  /** Without quotes. */
  readonly text: Buffer[] = [];
  /** Without brackets. */
  readonly columns = {
    tokens: [] as Buffer[],
    token_logprobs: [] as Buffer[],
    top_logprobs: [] as Buffer[],
    text_offset: [] as Buffer[],
  };

  add({ text, logprobs }: ChoicePiece): void {
    if (text !== '') this.text.push(Buffer.from(jsonText(text).slice(1, -1)));
    if (!logprobs?.tokens) return;
    for (const name of COLUMNS) {
      const column = this.columns[name];
      if (column.length > 0) column.push(COMMA);
      column.push(Buffer.from(logprobs[name]));
    }
  }
}

export interface WholeChoice {
  index: number;
  echo: PieceBuffers | undefined;
  own: PieceBuffers;
  withLogprobs: boolean;
  finishReason: string | null;
}

/** A choice of a whole answer. */
export function choiceBuffers(choice: WholeChoice): Buffer[] {
  const { index, echo, own, withLogprobs, finishReason } = choice;
  const buffers = [Buffer.from(`{"index":${index},"text":"`), ...(echo?.text ?? []), ...own.text];
  buffers.push(Buffer.from(`","logprobs":${withLogprobs ? '' : 'null'}`));
  for (const [i, name] of (withLogprobs ? COLUMNS : []).entries()) {
    const echoed = echo?.columns[name] ?? [];
    const isBoth = echoed.length > 0 && own.columns[name].length > 0;
    buffers.push(Buffer.from(`${i === 0 ? '{' : '],'}"${name}":[`), ...echoed);
    buffers.push(...(isBoth ? [COMMA] : []), ...own.columns[name]);
  }
  const end = withLogprobs ? ']}' : '';
  buffers.push(Buffer.from(`${end},"finish_reason":${JSON.stringify(finishReason)}}`));
  return buffers;
}

/** The text and the log-probabilities of a choice in a streamed answer. */
export function pieceJson({ text, logprobs }: ChoicePiece): string {
  return `"text":${jsonText(text)},"logprobs":${logprobs ? logprobsJson(logprobs) : 'null'}`;
}

export const COMMA = Buffer.from(',');
