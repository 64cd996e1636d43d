// The body of POST /v1/chat/completions: its type and its JSON schema.
import { type CompletionBody, completionSchema } from './completion_schema.js';

/** OpenAI's fields, and those that /v1/completions shares with other servers. */
export interface ChatBody extends Omit<CompletionBody, 'prompt' | 'echo' | 'best_of' | 'logprobs'> {
  messages?: readonly Readonly<Record<string, unknown>>[];
  logprobs?: boolean | null;
  top_logprobs?: number | null;
  tools?: readonly Readonly<Record<string, unknown>>[] | null;
  tool_choice?: unknown;
  /** As in vLLM: for the template. */
  documents?: readonly Readonly<Record<string, unknown>>[] | null;
  chat_template_kwargs?: Readonly<Record<string, unknown>> | null;
  add_generation_prompt?: boolean | null;
}

const { prompt: _, echo, best_of: __, logprobs, ...shared } = completionSchema.properties;
const objects = { type: 'array', items: { type: 'object' } };
const objectsOrNull = { anyOf: [objects, { type: 'null' }] };

export const chatSchema = {
  type: 'object',
  maxProperties: 100,
  properties: {
    ...shared,
    messages: objects,
    logprobs: echo,
    top_logprobs: logprobs,
    tools: objectsOrNull,
    tool_choice: {},
    documents: objectsOrNull,
    chat_template_kwargs: { anyOf: [{ type: 'object' }, { type: 'null' }] },
    add_generation_prompt: echo,
  },
} as const;
