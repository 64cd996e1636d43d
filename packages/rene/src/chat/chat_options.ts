// Options of a ChatSession.

import { withGenerationDefaults } from '../generation/generation_defaults.js';
import type { StreamOptions } from '../generation/options.js';
import { type GenerationConfig, resolveOptions } from '../generation/resolve_options.js';
import { refuseOptionsOfGenerate } from '../generation/stream.js';
import { endTokens } from '../generation/stream_text.js';
import type { CausalLM } from '../model.js';
import type { Tokenizer } from '../tokenizer.js';
import type { ChatTemplateOptions } from './chat_template.js';

/** Options of a ChatSession: those of stream, and of the template. */
export interface ChatOptions
  extends Omit<StreamOptions, 'state' | 'tokenizer' | 'signal' | 'onProgress'>,
    Omit<ChatTemplateOptions, 'addGenerationPrompt'> {
  /** The system message. Default: none. */
  system?: string | undefined;
  /** Maximum number of tokens of an answer. Default: that of generation_config.json, else 1024. */
  maxNewTokens?: number | undefined;
}

const DEFAULT_MAX_NEW_TOKENS = 1024;

/**
 * The generation config of a turn.
 *
 * @param turn its index. A seed gives every turn other random numbers.
 * @throws InvalidArgumentError
 */
export function turnConfig(
  model: CausalLM,
  tokenizer: Tokenizer,
  options: ChatOptions,
  turn: number,
): GenerationConfig {
  const { system: _, tools, documents, chatTemplate, variables, ...generation } = options;
  refuseOptionsOfGenerate(generation);
  // Beam search cannot stream. A length of the whole would end a conversation.
  const defaults = { ...model.generationConfig, numBeams: undefined, maxLength: undefined };
  const { seed, maxLength, maxNewTokens } = generation;
  const limit =
    maxLength === undefined ? (defaults.maxNewTokens ?? DEFAULT_MAX_NEW_TOKENS) : undefined;
  const { eosTokenId = endTokens(model, tokenizer) } = generation;
  const own: StreamOptions = {
    ...generation,
    seed: seed === undefined || turn === 0 ? seed : `${seed}:${turn}`,
    maxNewTokens: maxNewTokens ?? limit,
    eosTokenId,
    tokenizer,
  };
  return resolveOptions(withGenerationDefaults(own, defaults), model.config);
}
