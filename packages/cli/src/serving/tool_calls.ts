// Reads the tool calls that a model writes into its answer, in the formats below.
import { randomUUID } from 'node:crypto';
import type { Tokenizer } from '@rene-js/rene';
import { asRecord } from '@rene-js/rene/internal';

/** A call as OpenAI's API has it. */
export interface ToolCall {
  id: string;
  type: 'function';
  /** `arguments` is JSON text. */
  function: { name: string; arguments: string };
}

/** What surrounds a call, or a list of calls, as JSON. Without an end it goes on to the end of the answer. */
interface CallFormat {
  readonly start: string;
  readonly end?: string;
}

/** In the order in which the families' templates have them. */
const CALL_FORMATS: readonly CallFormat[] = [
  { start: '<tool_call>', end: '</tool_call>' }, // Granite 4, Falcon-H1, Hermes
  { start: '<TOOLCALL>', end: '</TOOLCALL>' }, // Nemotron
  { start: '<|tool_call|>' }, // Granite 3
];

/** Special tokens that start or end calls, by id. They must not be skipped. */
export function callTokensOf(
  tokenizer: Pick<Tokenizer, 'tokenId' | 'isSpecial'>,
): ReadonlyMap<number, string> {
  const texts = CALL_FORMATS.flatMap(({ start, end }) =>
    end === undefined ? [start] : [start, end],
  );
  return new Map(
    texts.flatMap((text): [number, string][] => {
      const id = tokenizer.tokenId(text);
      return id !== undefined && tokenizer.isSpecial(id) ? [[id, text]] : [];
    }),
  );
}

/**
 * Separates an answer into its text and its calls, piece by piece. A call that is not valid JSON stays text.
 * White space around calls is dropped.
 */
export class ToolCallParser {
  /** The text that is not yet certain, or the call so far. */
  private held = '';
  private format: CallFormat | undefined;
  private found: ToolCall[] = [];
  private hasCalls = false;

  /** Whether the answer has had a call. */
  get any(): boolean {
    return this.hasCalls;
  }

  /** @returns the text that is now certain */
  push(piece: string): string {
    this.held += piece;
    let text = '';
    for (;;) {
      if (this.format === undefined) {
        const next = firstStart(this.held);
        if (!next) return text + this.certain();
        text += this.held.slice(0, next.at).trimEnd();
        this.held = this.held.slice(next.at + next.format.start.length);
        this.format = next.format;
      }
      const { end } = this.format;
      const at = end === undefined ? -1 : this.held.indexOf(end);
      if (end === undefined || at < 0) return text;
      text += this.close(this.held.slice(0, at), end);
      this.held = this.held.slice(at + end.length);
    }
  }

  /** The rest of the text. A call without its end counts if its JSON is complete. */
  end(): string {
    const { held, format } = this;
    this.held = '';
    if (format) return this.close(held, '');
    return this.hasCalls ? held.trimEnd() : held;
  }

  /** The calls since the last time. */
  take(): ToolCall[] {
    return this.found.splice(0);
  }

  /** Ends a call. @returns its text, if it is none */
  private close(json: string, end: string): string {
    const start = this.format?.start ?? '';
    this.format = undefined;
    const calls = callsIn(json);
    if (calls === undefined) return start + json + end;
    this.found.push(...calls);
    this.hasCalls = true;
    return '';
  }

  /** Takes the held text but for its end, which may be white space before a call, or the start of one. */
  private certain(): string {
    const { held } = this;
    const marker = partialStart(held);
    const length = held.slice(0, held.length - marker).trimEnd().length;
    this.held = held.slice(length);
    return held.slice(0, length);
  }
}

function firstStart(text: string): { at: number; format: CallFormat } | undefined {
  return CALL_FORMATS.map((format) => ({ at: text.indexOf(format.start), format }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at)[0];
}

/** Length of the longest end of a text with which a call may start. */
function partialStart(text: string): number {
  const lengths = CALL_FORMATS.map(({ start }) => {
    for (let length = Math.min(start.length - 1, text.length); length > 0; length--) {
      if (start.startsWith(text.slice(-length))) return length;
    }
    return 0;
  });
  return Math.max(...lengths);
}

/** The calls of a JSON object or list; undefined for anything else. */
function callsIn(json: string): ToolCall[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  const list: unknown[] = Array.isArray(value) ? value : [value];
  const calls = list.flatMap((each): ToolCall[] => {
    const { name, arguments: given, parameters } = asRecord(each) ?? {};
    if (typeof name !== 'string') return [];
    const values = given ?? parameters ?? {};
    const text = typeof values === 'string' ? values : JSON.stringify(values);
    const id = `call_${randomUUID().replaceAll('-', '').slice(0, 24)}`;
    return [{ id, type: 'function', function: { name, arguments: text } }];
  });
  return calls.length === list.length && calls.length > 0 ? calls : undefined;
}
