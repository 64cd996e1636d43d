// Messages of OpenAI's API as chat templates take them.
import type { ChatMessage } from '@rene-js/rene';
import { asRecord, parseJson } from '@rene-js/rene/internal';
import { badRequest } from './api_error.js';

type Fields = Readonly<Record<string, unknown>>;

/** @throws ApiError (400) naming the message and the field */
export function chatMessages(messages: readonly Fields[] | undefined): ChatMessage[] {
  if (messages === undefined || messages.length === 0) {
    throw badRequest('messages: expected at least one message, found none', 'messages');
  }
  return messages.map((message, i) => {
    const where = `messages[${i}]`;
    const { role } = message;
    if (typeof role !== 'string' || role === '') {
      throw wrong(`${where}.role`, 'a text such as "user"', role);
    }
    const calls = toolCalls(message.tool_calls, where);
    const content = textOf(message.content, `${where}.content`);
    if (message.content == null && calls === undefined && role !== 'assistant') {
      throw wrong(`${where}.content`, 'a text', message.content);
    }
    return { ...message, role, content, ...(calls && { tool_calls: calls }) };
  });
}

/** The text of a content: its parts are separated by line feeds, as in vLLM and llama.cpp. */
function textOf(content: unknown, where: string): string {
  if (content == null) return '';
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw wrong(where, 'a text or a list of parts', content);
  const parts = content.map((part: unknown, i) => {
    if (typeof part === 'string') return part;
    const { type, text } = asRecord(part) ?? {};
    if (type === 'text' && typeof text === 'string') return text;
    const found = typeof type === 'string' ? type : part;
    throw wrong(`${where}[${i}]`, 'a part of type "text" (this model reads text alone)', found);
  });
  return parts.join('\n');
}

/** Tool calls with their arguments as objects, which templates expect; OpenAI's API has them as JSON text. */
function toolCalls(calls: unknown, where: string): Fields[] | undefined {
  if (calls == null) return undefined;
  if (!Array.isArray(calls)) throw wrong(`${where}.tool_calls`, 'a list', calls);
  return calls.map((call: unknown, i) => {
    const at = `${where}.tool_calls[${i}].function`;
    const fields = asRecord(call);
    const called = asRecord(fields?.function);
    if (!called || typeof called.name !== 'string') {
      throw wrong(at, 'an object with a name and arguments', called);
    }
    return { ...fields, function: { ...called, arguments: parsed(called.arguments, at) } };
  });
}

function parsed(given: unknown, where: string): unknown {
  if (typeof given !== 'string') return given ?? {};
  if (given.trim() === '') return {};
  try {
    return parseJson(given);
  } catch {
    throw wrong(`${where}.arguments`, 'a JSON object', given);
  }
}

function wrong(where: string, expected: string, found: unknown) {
  const shown = found === undefined ? 'nothing' : JSON.stringify(found).slice(0, 60);
  return badRequest(`${where}: expected ${expected}, found ${shown}`, 'messages');
}
