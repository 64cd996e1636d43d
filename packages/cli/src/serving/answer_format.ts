// What differs between the answers of /v1/completions and /v1/chat/completions.

import type { ChoicePiece } from './choice.js';
import type { LogprobCollector } from './logprobs_json.js';
import type { PieceBuffers } from './piece_buffers.js';
import type { TokenTexts } from './token_texts.js';

/** A choice of a whole answer. */
export interface WholeChoice {
  index: number;
  echo: PieceBuffers | undefined;
  own: PieceBuffers;
  withLogprobs: boolean;
  finishReason: string | null;
}

/** The JSON of an API's answers. */
export interface AnswerFormat {
  /** The beginning of an answer's id. */
  readonly idPrefix: string;
  /** The type of a whole answer. */
  readonly object: string;
  /** The type of a part of a streamed answer. */
  readonly partObject: string;
  /** The fields of the part that begins each streamed choice. Default: no such part. */
  readonly opening?: string;
  /** Whether tool calls are separated from the text. Default: no. */
  readonly hasToolCalls?: boolean;
  /** Collects the log-probabilities of a choice. */
  logprobs(tokenTexts: TokenTexts): LogprobCollector;
  /** A choice of a whole answer, without its braces' neighbours. */
  choice(choice: WholeChoice): Buffer[];
  /** The fields of a piece of a streamed choice: its text, log-probabilities and tool calls. */
  piece(piece: ChoicePiece): string;
}
