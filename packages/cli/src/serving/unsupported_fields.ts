// Request fields of other servers that this one does not support.
//
// A field that may change the answer is refused by name. It is accepted with a value that turns it off.
// Fields that cannot change the answer are accepted.
import { badRequest } from './api_error.js';
import { type ChatBody, chatSchema } from './chat_schema.js';
import { type CompletionBody, completionSchema } from './completion_schema.js';

/** Fields that never change the answer, or only together with a refused one. */
const HARMLESS: ReadonlySet<string> = new Set([
  ...['metadata', 'store', 'service_tier', 'prompt_cache_key', 'prompt_cache_retention'],
  ...['safety_identifier', 'request_id', 'priority', 'timeout', 'ttl', 'api_key'],
  ...['cache_prompt', 'cache_salt', 'id_slot', 'slot_id', 'n_keep', 'use_cache'],
  ...['draft_model', 'num_draft_tokens', 'spaces_between_special_tokens'],
  ...['dry_base', 'dry_allowed_length', 'dry_penalty_last_n', 'dry_sequence_breakers'],
  ...['mirostat_tau', 'mirostat_eta', 'xtc_threshold', 'smoothing_curve'],
  ...['dynatemp_exponent', 'dynatemp_low', 'dynatemp_high'],
  ...['n_cache_reuse', 'truncation_side', 'sse_ping_interval', 'include_reasoning'],
  ...['return_token_offsets', 'return_assistant_tokens_mask', 'return_mm_kwargs'],
  ...['session_id', 'stream_interval', 'routed_experts_prompt_start'],
]);

/** Values, besides null, false, 0 and empty ones, that turn a field off. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  typical: [1],
  tfs: [1],
  tfs_z: [1],
  top_n_sigma: [-1],
  guidance_scale: [1],
  cfg_scale: [1],
  encoder_repetition_penalty: [1],
  length_penalty: [1],
  num_beams: [1],
  num_beam_groups: [1],
  min_keep: [1],
  t_max_predict_ms: [-1],
  truncate_prompt_tokens: [-1],
  tool_choice: ['none', 'auto'],
  function_call: ['none', 'auto'],
  reasoning_format: ['none'],
};

/** Samplers that are off at 1 but not at 0. */
const ONE_IS_OFF: ReadonlySet<string> = new Set([
  ...['typical', 'tfs', 'tfs_z', 'guidance_scale', 'cfg_scale'],
  'encoder_repetition_penalty',
]);

const UNCONSTRAINED = 'answers cannot be constrained';
const ONE_BEAM = 'the server samples, or is greedy with temperature 0';
const NO_TOOLS = 'send them with messages to /v1/chat/completions';
const FILTERS = 'use temperature, top_k, top_p, min_p or typical_p';

/** Alternatives. */
const HINTS: Readonly<Record<string, string>> = {
  suffix: 'this model completes at the end only',
  messages: 'send them to /v1/chat/completions, or the text to complete as prompt',
  use_beam_search: ONE_BEAM,
  num_beams: ONE_BEAM,
  length_penalty: ONE_BEAM,
  early_stopping: ONE_BEAM,
  response_format: UNCONSTRAINED,
  structured_outputs: UNCONSTRAINED,
  guided_json: UNCONSTRAINED,
  guided_regex: UNCONSTRAINED,
  guided_choice: UNCONSTRAINED,
  guided_grammar: UNCONSTRAINED,
  json_schema: UNCONSTRAINED,
  grammar: UNCONSTRAINED,
  tools: NO_TOOLS,
  tool_choice: NO_TOOLS,
  functions: NO_TOOLS,
  function_call: NO_TOOLS,
  bad_words: 'use bad_words_ids or logit_bias',
  n_probs: 'use logprobs',
  logprob_token_ids: 'use logprobs',
  prompt_logprobs: 'use echo with logprobs',
  return_token_ids: 'send the text to /tokenize',
  return_tokens_as_token_ids: 'send the text to /tokenize',
  truncate_prompt_tokens: 'send a shorter prompt',
  post_sampling_probs: 'logprobs are those of the model, before temperature and filters',
  return_tokens: 'send the text to /tokenize',
  return_prompt_text: 'send the prompt to /v1/completions with echo',
  timings_per_token: 'GET /metrics has times',
  return_progress: 'the first part of a stream comes with the first token',
  response_fields: "the answer has the fields of OpenAI's",
  repetition_detection: 'use repetition_penalty or no_repeat_ngram_size',
  n_indent: 'the model does not indent',
  lora: 'a server names its adapters with --lora, a request chooses one with model',
  logits_processors: 'use logit_bias or allowed_token_ids',
  include_stop_str_in_output: 'the text ends before the stop string',
  prompt_embeds: 'send prompt',
  repeat_last_n: 'repetition_penalty counts the whole sequence',
  repetition_context_size: 'repetition_penalty counts the whole sequence',
  typical: 'use typical_p',
  mirostat: FILTERS,
  top_a: FILTERS,
  tfs: FILTERS,
  tfs_z: FILTERS,
  top_n_sigma: FILTERS,
  xtc_probability: FILTERS,
  dynatemp_range: FILTERS,
  dry_multiplier: 'use repetition_penalty or no_repeat_ngram_size',
  samplers: 'the order is penalties, top_k, temperature, top_p, min_p, typical_p',
};

const UNKNOWN = 'this server does not know it, and it may change the answer elsewhere';

/** Alternatives in a conversation. */
const CHAT_HINTS: Readonly<Record<string, string>> = {
  ...HINTS,
  prompt: 'send messages, or the prompt to /v1/completions',
  echo: 'send the prompt to /v1/completions',
  best_of: 'send n, and compare the answers',
  suffix: 'this model writes at the end only',
  functions: 'use tools',
  function_call: 'use tools',
  tool_choice: "answers cannot be constrained; expected 'auto' or 'none'",
  prompt_logprobs: 'send the prompt to /v1/completions with echo and logprobs',
  chat_template: 'start the server with --chat-template',
  continue_final_message: 'send the prompt to /v1/completions',
  reasoning_effort: 'send what the template knows as chat_template_kwargs',
  enable_thinking: 'send it as chat_template_kwargs',
  reasoning_format: "the text is as the model writes it; expected 'none'",
  modalities: 'the model reads and writes text',
  audio: 'the model reads and writes text',
};

/** Fields of OpenAI's chat API that change nothing here. */
const CHAT_HARMLESS: ReadonlySet<string> = new Set(['parallel_tool_calls']);

/** @throws ApiError (400) naming the first unsupported field that may change the answer */
export function refuseUnsupported(body: CompletionBody): void {
  refuseOthers(body, completionSchema.properties, HINTS);
}

/** As refuseUnsupported, for a conversation. @throws ApiError (400) */
export function refuseUnsupportedChat(body: ChatBody): void {
  refuseOthers(body, chatSchema.properties, CHAT_HINTS, CHAT_HARMLESS);
  const { tool_choice: choice } = body;
  if (!isNeutral('tool_choice', choice, body)) {
    throw unsupported('tool_choice', CHAT_HINTS.tool_choice);
  }
}

type SharedBody = Pick<CompletionBody, 'stream_options' | 'repetition_penalty' | 'repeat_penalty'>;

function refuseOthers(
  body: SharedBody,
  known: object,
  hints: Readonly<Record<string, string>>,
  harmless: ReadonlySet<string> = new Set(),
): void {
  for (const [name, value] of Object.entries(body)) {
    if (Object.hasOwn(known, name) || HARMLESS.has(name) || harmless.has(name)) continue;
    if (isNeutral(name, value, body)) continue;
    throw unsupported(name, Object.hasOwn(hints, name) ? hints[name] : UNKNOWN);
  }
  for (const [name, value] of Object.entries(body.stream_options ?? {})) {
    if (name === 'include_usage' || name === 'include_obfuscation' || isOff(value)) continue;
    throw unsupported(`stream_options.${name}`, UNKNOWN);
  }
}

function unsupported(name: string, why = UNKNOWN) {
  return badRequest(`${name} is not supported: ${why}`, name, 'unsupported_parameter');
}

/** Whether the answer is the same without the field. */
function isNeutral(name: string, value: unknown, body: SharedBody): boolean {
  if (name === 'repeat_last_n' || name === 'repetition_context_size') {
    const penalty = body.repetition_penalty ?? body.repeat_penalty ?? 1;
    return penalty === 1 || value === null || value === -1; // 0 would turn the penalty off
  }
  if (isOff(value) && !(value === 0 && ONE_IS_OFF.has(name))) return true;
  if (name === 'response_format') return isPlainText(value);
  if (name === 'modalities') return Array.isArray(value) && value.every((kind) => kind === 'text');
  return Object.hasOwn(NEUTRAL, name) && (NEUTRAL[name]?.includes(value) ?? false);
}

/** null, false, 0, '' or []. */
function isOff(value: unknown): boolean {
  return Array.isArray(value) ? value.length === 0 : !value;
}

function isPlainText(format: unknown): boolean {
  return (
    typeof format === 'object' && format !== null && 'type' in format && format.type === 'text'
  );
}
