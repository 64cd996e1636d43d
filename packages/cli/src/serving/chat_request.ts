// Converts the body of POST /v1/chat/completions to one of /v1/completions: the conversation becomes a prompt.
import { type ChatTemplateOptions, type Tokenizer, TokenizerError } from '@rene-js/rene';
import { badRequest } from './api_error.js';
import { chatMessages } from './chat_messages.js';
import type { ChatBody } from './chat_schema.js';
import type { CompletionBody } from './completion_schema.js';
import { refuseUnsupportedChat } from './unsupported_fields.js';

/** The chat template of a server. */
export interface Chat {
  tokenizer: Pick<Tokenizer, 'applyChatTemplate' | 'hasChatTemplate' | 'eosTokenId'>;
  /** Default: the tokenizer's. */
  chatTemplate?: string | undefined;
  modelName: string;
  /** Maximum number of tokens of a sequence. */
  maxLength: number;
}

/** @throws ApiError (400) */
export function completionOfChat(body: ChatBody, chat: Chat): CompletionBody {
  refuseUnsupportedChat(body);
  const { messages, logprobs, top_logprobs, tools, tool_choice: _, documents, ...rest } = body;
  const { chat_template_kwargs: variables, add_generation_prompt, ...shared } = rest;
  if (top_logprobs != null && !logprobs) {
    throw badRequest('top_logprobs: it goes with logprobs: true', 'top_logprobs');
  }
  checkCount('messages', messages, chat);
  checkCount('tools', tools, chat);
  checkCount('documents', documents, chat);
  const prompt = render(messages, chat, {
    tools: offersTools(body) ? (tools ?? undefined) : undefined,
    documents: documents ?? undefined,
    variables: variables ?? undefined,
    addGenerationPrompt: add_generation_prompt ?? true,
  });
  const { eosTokenId } = chat.tokenizer;
  const ends = eosTokenId === null || body.ignore_eos ? [] : [eosTokenId];
  const { max_tokens, max_completion_tokens, max_new_tokens, n_predict } = body;
  const limit = max_tokens ?? max_completion_tokens ?? max_new_tokens ?? n_predict;
  return {
    ...shared,
    prompt,
    // The template writes them.
    add_special_tokens: body.add_special_tokens ?? false,
    // An answer has no limit besides the model's.
    ...(limit == null && { n_predict: -1 }),
    logprobs: logprobs ? (top_logprobs ?? 0) : null,
    stop_token_ids: [...(body.stop_token_ids ?? []), ...ends],
  };
}

/** Whether the model may answer with tool calls. */
export function offersTools({ tools, tool_choice }: ChatBody): boolean {
  return tools != null && tools.length > 0 && tool_choice !== 'none';
}

/** Each entry takes a token at least. The template runs in the thread that serves all clients. */
function checkCount(
  name: string,
  list: readonly unknown[] | null | undefined,
  { maxLength }: Chat,
): void {
  if ((list?.length ?? 0) <= maxLength) return;
  throw badRequest(`${name}: expected at most ${maxLength} entries, found ${list?.length}`, name);
}

function render(
  messages: ChatBody['messages'],
  { tokenizer, chatTemplate, modelName }: Chat,
  options: ChatTemplateOptions,
): string {
  const conversation = chatMessages(messages);
  if (chatTemplate === undefined && !tokenizer.hasChatTemplate) {
    throw badRequest(
      `${modelName} has no chat template (chat_template in its tokenizer_config.json, or chat_template.jinja ` +
        'beside it): POST /v1/completions with a prompt, or start the server with --chat-template',
      'messages',
      'no_chat_template',
    );
  }
  try {
    return tokenizer.applyChatTemplate(conversation, { ...options, chatTemplate });
  } catch (error) {
    if (!(error instanceof TokenizerError)) throw error;
    throw badRequest(`messages: ${error.message}`, 'messages');
  }
}
