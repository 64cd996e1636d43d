// JSON of the choices of /v1/completions: as buffers for whole answers, as text for streamed parts.
import type { AnswerFormat, WholeChoice } from './answer_format.js';
import { jsonText } from './json_text.js';
import { COLUMNS, LogprobWriter, logprobsJson } from './logprobs_json.js';
import { COMMA } from './piece_buffers.js';

/** A choice of a whole answer. */
function choiceBuffers(choice: WholeChoice): Buffer[] {
  const { index, echo, own, withLogprobs, finishReason } = choice;
  const buffers = [Buffer.from(`{"index":${index},"text":"`), ...(echo?.text ?? []), ...own.text];
  buffers.push(Buffer.from(`","logprobs":${withLogprobs ? '' : 'null'}`));
  for (const [i, name] of (withLogprobs ? COLUMNS : []).entries()) {
    const echoed = echo?.column(name) ?? [];
    const isBoth = echoed.length > 0 && own.column(name).length > 0;
    buffers.push(Buffer.from(`${i === 0 ? '{' : '],'}"${name}":[`), ...echoed);
    buffers.push(...(isBoth ? [COMMA] : []), ...own.column(name));
  }
  const end = withLogprobs ? ']}' : '';
  buffers.push(Buffer.from(`${end},"finish_reason":${JSON.stringify(finishReason)}}`));
  return buffers;
}

/** Answers of /v1/completions. */
export const completionFormat: AnswerFormat = {
  idPrefix: 'cmpl',
  object: 'text_completion',
  partObject: 'text_completion',
  logprobs: (tokenTexts) => new LogprobWriter(tokenTexts),
  choice: choiceBuffers,
  piece: ({ text, logprobs }) =>
    `"text":${jsonText(text)},"logprobs":${logprobs ? logprobsJson(logprobs) : 'null'}`,
};
