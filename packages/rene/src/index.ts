/**
 * Language models with a recurrent state, Rene and other hybrids: configuration, checkpoints, tokenizer and
 * generation, for Node and the browser.
 *
 * @module @rene-js/rene
 */
export { parseModelConfig } from './architectures/index.js';
export type { ModelConfig } from './architectures/model_config.js';
export { AutoModelForCausalLM } from './auto_model.js';
export type { ChatOptions } from './chat/chat_options.js';
export { ChatSession, type ChatTurn, type TurnOptions } from './chat/chat_session.js';
export type { ChatMessage, ChatTemplateOptions } from './chat/chat_template.js';
export { readConfig, readModelConfig } from './checkpoint/read_config.js';
export {
  type AttnConfig,
  type MlpConfig,
  parseConfig,
  type ReneConfig,
  type ReneConfigOptions,
  reneConfig,
  reneConfig1_3B,
  type SsmConfig,
} from './config.js';
export type { DTypeName } from './dtype_names.js';
export * from './errors.js';
export { GenerationAbortedError } from './generation/abort.js';
export type { GenerateResult } from './generation/generate.js';
export type { GenerationModel } from './generation/generation_model.js';
export type {
  GenerateOptions,
  LogitsProcessor,
  SamplingOptions,
  StreamOptions,
} from './generation/options.js';
export type { PrefillOptions } from './generation/prefill.js';
export type { GenerationProgress, ProgressOptions } from './generation/progress.js';
export type { TokenLogProb } from './generation/sampler.js';
export type { FinishReason } from './generation/sequence.js';
export { streamText, type TextTokenizer } from './generation/stream_text.js';
export type { ModelOptions, PretrainedOptions, RandomModelOptions } from './load_options.js';
export { CausalLM, type ForwardOptions } from './model.js';
export { ReneLMHeadModel } from './rene_model.js';
export { RecurrentState } from './state.js';
export {
  type DecodeOptions,
  type DecodeStream,
  type EncodeOptions,
  Tokenizer,
} from './tokenizer.js';
