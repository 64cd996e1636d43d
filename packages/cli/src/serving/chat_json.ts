// JSON of the choices of /v1/chat/completions.
import type { TokenLogProb } from '@rene-js/rene';
import type { AnswerFormat } from './answer_format.js';
import { jsonText } from './json_text.js';
import { finite, type LogprobCollector, type LogprobColumns } from './logprobs_json.js';
import type { TokenTexts } from './token_texts.js';

/** Answers of /v1/chat/completions. */
export const chatFormat: AnswerFormat = {
  idPrefix: 'chatcmpl',
  object: 'chat.completion',
  partObject: 'chat.completion.chunk',
  opening: '"delta":{"role":"assistant","content":""},"logprobs":null',
  logprobs: (tokenTexts) => new ChatLogprobs(tokenTexts),
  choice({ index, own, withLogprobs, finishReason }) {
    const { toolCalls } = own;
    const isCall = toolCalls.length > 0;
    const hasText = own.text.length > 0 || !isCall;
    const quote = hasText ? '"' : '';
    const start = `{"index":${index},"message":{"role":"assistant","content":${quote || 'null'}`;
    const calls = isCall ? `,"tool_calls":${jsonText(toolCalls)}` : '';
    const logprobs = withLogprobs
      ? ['{"content":[', ...own.column('content'), NO_REFUSAL]
      : ['null'];
    const end = `,"finish_reason":${JSON.stringify(finishReason)}}`;
    const middle = `${quote},"refusal":null${calls}},"logprobs":`;
    return [start, ...own.text, middle, ...logprobs, end].map((piece) =>
      typeof piece === 'string' ? Buffer.from(piece) : piece,
    );
  },
  piece({ text, logprobs, toolCalls = [], firstCall = 0 }) {
    const calls = toolCalls.map((call, i) => ({ index: firstCall + i, ...call }));
    const fields = [
      ...(text === '' ? [] : [`"content":${jsonText(text)}`]),
      ...(calls.length === 0 ? [] : [`"tool_calls":${jsonText(calls)}`]),
    ];
    const list = logprobs?.content ? `{"content":[${logprobs.content}${NO_REFUSAL}` : 'null';
    return `"delta":{${fields.join()}},"logprobs":${list}`;
  },
};

/** Answers to requests with tools. */
export const toolFormat: AnswerFormat = { ...chatFormat, hasToolCalls: true };

/** Ends a choice's log-probabilities. */
const NO_REFUSAL = '],"refusal":null}';

/** Collects log-probabilities as /v1/chat/completions returns them: an object for each token. */
class ChatLogprobs implements LogprobCollector {
  private entries: string[] = [];

  constructor(private readonly tokenTexts: TokenTexts) {}

  add(id: number, logProb: TokenLogProb | null): void {
    const top = (logProb?.top ?? []).map((other) => `{${this.fields(other.id, other.logProb)}}`);
    const own = this.fields(id, logProb?.logProb ?? Number.NEGATIVE_INFINITY);
    this.entries.push(`{${own},"top_logprobs":[${top.join()}]}`);
  }

  take(): LogprobColumns {
    const content = this.entries.join();
    this.entries = [];
    return { content };
  }

  private fields(id: number, logProb: number): string {
    const { text, json } = this.tokenTexts.of(id);
    // The text of a token with part of a character is U+FFFD, whose bytes are not the token's.
    const bytes = text.includes('\ufffd') ? 'null' : JSON.stringify([...Buffer.from(text)]);
    return `"token":${json},"logprob":${finite(logProb)},"bytes":${bytes}`;
  }
}
