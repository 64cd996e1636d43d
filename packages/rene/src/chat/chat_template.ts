// Chat templates: a conversation as the prompt that a model was trained with, as transformers renders it.
import { TokenizerError } from '../errors.js';
import { asRecord } from '../json.js';
import { renderTemplate } from './template_engine.js';

/** A message of a conversation, with further fields such as `tool_calls` for the template. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly [field: string]: unknown;
}

/** Options of Tokenizer.applyChatTemplate. */
export interface ChatTemplateOptions {
  /** JSON schemas of functions that the model may call. Default: none. */
  tools?: readonly unknown[] | undefined;
  /** Documents for retrieval. Default: none. */
  documents?: readonly unknown[] | undefined;
  /** Append what starts the assistant's answer. Default: false. */
  addGenerationPrompt?: boolean | undefined;
  /** A template's text, or the name of one of the tokenizer's. Default: the tokenizer's own. */
  chatTemplate?: string | undefined;
  /** Further variables of the template. Default: none. */
  variables?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * The text of a conversation.
 *
 * @param config the content of tokenizer_config.json
 * @throws TokenizerError if there is no template, or it refuses the conversation
 */
export function renderChat(
  messages: readonly ChatMessage[],
  config: Readonly<Record<string, unknown>>,
  { tools, documents, addGenerationPrompt = false, chatTemplate, variables }: ChatTemplateOptions,
): string {
  const source = templateOf(config.chat_template, chatTemplate, tools !== undefined);
  try {
    return renderTemplate(source, {
      ...specialTokens(config),
      ...variables,
      messages,
      // None in Python where there are none; templates ask `tools is not none`.
      tools: tools ?? null,
      documents: documents ?? null,
      add_generation_prompt: addGenerationPrompt,
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TokenizerError(`the chat template fails: ${reason}`, { cause: error });
  }
}

/** Whether a tokenizer_config.json has a chat template. */
export function hasTemplate(config: Readonly<Record<string, unknown>>): boolean {
  return namedTemplates(config.chat_template).size > 0;
}

/** As transformers: by name, else the one for tools if there are tools, else 'default'. */
function templateOf(own: unknown, wanted: string | undefined, hasTools: boolean): string {
  const named = namedTemplates(own);
  const byName = wanted === undefined ? undefined : named.get(wanted);
  const usual = (hasTools ? named.get('tool_use') : undefined) ?? named.get('default');
  const source = byName ?? wanted ?? usual;
  if (source !== undefined) return source;
  throw new TokenizerError(
    'this tokenizer has no chat template: expected chat_template in tokenizer_config.json or chat_template.jinja; ' +
      'give one with chatTemplate',
  );
}

function namedTemplates(own: unknown): Map<string, string> {
  if (typeof own === 'string') return new Map([['default', own]]);
  if (!Array.isArray(own)) return new Map();
  return new Map(
    own.flatMap((entry: unknown) => {
      const { name, template } = asRecord(entry) ?? {};
      return typeof name === 'string' && typeof template === 'string' ? [[name, template]] : [];
    }),
  );
}

/** bos_token and the like, which are strings or objects with a content. */
function specialTokens(config: Readonly<Record<string, unknown>>): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const [key, value] of Object.entries(config)) {
    if (!key.endsWith('_token')) continue;
    const text = asRecord(value)?.content ?? value;
    if (typeof text === 'string') tokens[key] = text;
  }
  return tokens;
}
