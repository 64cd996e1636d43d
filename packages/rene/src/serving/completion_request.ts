// The body of POST /v1/completions: its JSON schema, and what it asks of the engine.
import { badRequest } from './api_error.js';
import type { Job } from './job.js';
import type { PromptEncoder } from './tokenizer_thread.js';

/** Fields of OpenAI's API, and after `user` those that vLLM and others add to it. */
export interface CompletionBody {
  model?: string | null;
  prompt: string | string[] | number[] | number[][];
  max_tokens?: number | null;
  temperature?: number | null;
  top_p?: number | null;
  n?: number | null;
  stream?: boolean | null;
  stream_options?: { include_usage?: boolean | null } | null;
  logprobs?: number | null;
  echo?: boolean | null;
  stop?: string | string[] | null;
  presence_penalty?: number | null;
  frequency_penalty?: number | null;
  logit_bias?: Record<string, number> | null;
  seed?: number | null;
  best_of?: number | null;
  user?: string | null;
  /** As max_tokens, which is preferred. */
  max_completion_tokens?: number | null;
  top_k?: number | null;
  min_p?: number | null;
  repetition_penalty?: number | null;
  min_tokens?: number | null;
  stop_token_ids?: number[] | null;
  ignore_eos?: boolean | null;
}

/** What would change the answer and is not offered: refused, unless it is null, false, 0 or empty. */
const REFUSED: Readonly<Record<string, string>> = {
  suffix: 'this model completes at the end only',
  messages: 'send the text to complete as prompt',
  use_beam_search: 'sequences are sampled, or greedy with temperature 0',
  response_format: 'answers cannot be constrained',
  structured_outputs: 'answers cannot be constrained',
  guided_json: 'answers cannot be constrained',
  guided_regex: 'answers cannot be constrained',
  guided_choice: 'answers cannot be constrained',
  guided_grammar: 'answers cannot be constrained',
  json_schema: 'answers cannot be constrained',
  grammar: 'answers cannot be constrained',
  allowed_token_ids: 'use logit_bias',
  bad_words: 'use logit_bias',
  prompt_logprobs: 'use echo with logprobs',
  truncate_prompt_tokens: 'send a shorter prompt',
  include_stop_str_in_output: 'the text ends before the stop string',
  prompt_embeds: 'send prompt',
  mirostat: 'use temperature, top_k, top_p or min_p',
};

const nullable = (type: string, limits: object = {}) => ({
  anyOf: [{ type, ...limits }, { type: 'null' }],
});
const tokenIds = { type: 'array', items: { type: 'integer', minimum: 0 }, minItems: 1 };

export const completionSchema = {
  type: 'object',
  required: ['prompt'],
  maxProperties: 100,
  properties: {
    model: nullable('string'),
    prompt: {
      anyOf: [
        { type: 'string' },
        tokenIds,
        { type: 'array', items: { type: 'string' }, minItems: 1 },
        { type: 'array', items: tokenIds, minItems: 1 },
      ],
    },
    max_tokens: nullable('integer', { minimum: 0 }),
    temperature: nullable('number', { minimum: 0, maximum: 100 }),
    top_p: nullable('number', { minimum: 0, maximum: 1 }),
    n: nullable('integer', { minimum: 1, maximum: 128 }),
    stream: nullable('boolean'),
    stream_options: nullable('object', { properties: { include_usage: nullable('boolean') } }),
    logprobs: nullable('integer', { minimum: 0, maximum: 20 }),
    echo: nullable('boolean'),
    stop: {
      anyOf: [
        { type: 'string', maxLength: 1000 },
        { type: 'array', items: { type: 'string', maxLength: 1000 }, maxItems: 16 },
        { type: 'null' },
      ],
    },
    presence_penalty: nullable('number', { minimum: -2, maximum: 2 }),
    frequency_penalty: nullable('number', { minimum: -2, maximum: 2 }),
    logit_bias: nullable('object', {
      additionalProperties: { type: 'number', minimum: -100, maximum: 100 },
      maxProperties: 1024,
    }),
    seed: nullable('integer'),
    best_of: nullable('integer', { minimum: 1, maximum: 128 }),
    user: nullable('string'),
    max_completion_tokens: nullable('integer', { minimum: 0 }),
    top_k: nullable('integer', { minimum: -1 }),
    min_p: nullable('number', { minimum: 0, maximum: 1 }),
    repetition_penalty: nullable('number', { minimum: 0.01, maximum: 100 }),
    min_tokens: nullable('integer', { minimum: 0 }),
    stop_token_ids: nullable('array', { items: { type: 'integer', minimum: 0 }, maxItems: 1024 }),
    ignore_eos: nullable('boolean'),
  },
} as const;

/** Fields of a body that mean nothing here. */
export function unknownFields(body: object): string[] {
  return Object.keys(body).filter((name) => !Object.hasOwn(completionSchema.properties, name));
}

/** What the server's operator allows. */
export interface CompletionLimits {
  /** Most tokens of a prompt and its continuation together. */
  maxLength: number;
  /** Most sequences of a request. */
  maxSequences: number;
  vocabSize: number;
}

/** The jobs of a request, one a prompt, each of bestOf(body) sequences. @throws ApiError (400) */
export async function completionJobs(
  body: CompletionBody,
  encoder: PromptEncoder,
  limits: CompletionLimits,
): Promise<Job[]> {
  refuse(body);
  const prompts = listOfPrompts(body.prompt);
  const n = bestOf(body);
  if (prompts.length * n > limits.maxSequences) {
    const found = `${prompts.length} prompts, ${n} sequences each`;
    throw badRequest(
      `prompt: expected at most ${limits.maxSequences} sequences in a request, found ${found}`,
      'prompt',
    );
  }
  checkIds('logit_bias', Object.keys(body.logit_bias ?? {}), limits.vocabSize);
  checkIds('stop_token_ids', body.stop_token_ids ?? [], limits.vocabSize);
  const jobs: Job[] = [];
  // One after another, so that the texts of other requests come in between.
  for (const [i, prompt] of prompts.entries()) {
    const where = prompts.length > 1 ? `prompt[${i}]` : 'prompt';
    const ids = await promptIds(prompt, where, encoder, limits);
    jobs.push(job(body, ids, maxTokens(body, ids.length, where, limits.maxLength)));
  }
  return jobs;
}

/** Sequences generated for each prompt; the best n of them are the answer. */
export function bestOf(body: CompletionBody): number {
  return body.best_of ?? body.n ?? 1;
}

function job(body: CompletionBody, prompt: readonly number[], maxTokens: number): Job {
  const n = bestOf(body);
  const { top_k: topK } = body;
  // Which are the best is known by their log-probabilities.
  const logProbs = body.logprobs ?? (n > (body.n ?? 1) ? 0 : undefined);
  return {
    prompt,
    n,
    maxTokens,
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? 1,
    topK: topK === null || topK === -1 ? undefined : topK,
    minP: body.min_p ?? undefined,
    repetitionPenalty: body.repetition_penalty ?? undefined,
    seed: body.seed ?? undefined,
    stop: [body.stop ?? []].flat().filter((text) => text !== ''),
    stopIds: body.stop_token_ids ?? undefined,
    ignoreEos: body.ignore_eos ?? undefined,
    minTokens: body.min_tokens ?? undefined,
    logitBias: body.logit_bias ?? undefined,
    presencePenalty: body.presence_penalty ?? undefined,
    frequencyPenalty: body.frequency_penalty ?? undefined,
    logProbs,
    promptLogProbs: (body.echo ?? false) && body.logprobs != null,
  };
}

/** @throws ApiError for what is not offered, and for what does not go together */
function refuse(body: CompletionBody): void {
  for (const [name, value] of Object.entries(body)) {
    const why = Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined;
    if (why === undefined || isNeutral(value)) continue;
    throw badRequest(`${name} is not supported: ${why}`, name, 'unsupported_parameter');
  }
  const n = body.n ?? 1;
  const { best_of: wanted } = body;
  if (wanted != null && wanted < n) {
    throw badRequest(`best_of: expected at least n (${n}), found ${wanted}`, 'best_of');
  }
  if (wanted != null && wanted > n && body.stream) {
    throw badRequest('best_of: the best are known at the end; they cannot be streamed', 'best_of');
  }
  if (body.stream_options && !body.stream) {
    throw badRequest('stream_options: it goes with stream: true', 'stream_options');
  }
}

/** Whether it says that the thing is not wanted. */
function isNeutral(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return !value; // null, false, 0, ''
}

/** @throws ApiError for a prompt that leaves no room for them */
function maxTokens(
  { max_tokens, max_completion_tokens }: CompletionBody,
  promptLength: number,
  where: string,
  maxLength: number,
): number {
  const wanted = max_tokens ?? max_completion_tokens;
  const room = maxLength - promptLength;
  if (wanted == null && room > 0) return Math.min(DEFAULT_MAX_TOKENS, room);
  const tokens = wanted ?? DEFAULT_MAX_TOKENS;
  if (tokens <= room) return tokens;
  throw tooLong(where, maxLength, `${promptLength} tokens and max_tokens ${tokens}`);
}

/** As OpenAI has it. */
const DEFAULT_MAX_TOKENS = 16;

async function promptIds(
  prompt: string | readonly number[],
  where: string,
  encoder: PromptEncoder,
  { maxLength, vocabSize }: CompletionLimits,
): Promise<readonly number[]> {
  // No text has so many characters a token: it need not be tokenised to be refused.
  if (typeof prompt === 'string' && prompt.length > 16 * maxLength) {
    throw tooLong(where, maxLength, `${prompt.length} characters`);
  }
  const ids = typeof prompt === 'string' ? await encoder.encode(prompt) : prompt;
  if (ids.length === 0) throw badRequest(`${where}: expected at least one token`, 'prompt');
  if (ids.length > maxLength) throw tooLong(where, maxLength, `${ids.length} tokens`);
  const wrong = ids.find((id) => id >= vocabSize);
  if (wrong === undefined) return ids;
  throw badRequest(`${where}: expected token ids below ${vocabSize}, found ${wrong}`, 'prompt');
}

function tooLong(where: string, maxLength: number, found: string) {
  const expected = `${where}: expected at most ${maxLength} tokens with those to come`;
  return badRequest(`${expected}, found ${found}`, 'prompt', 'context_length_exceeded');
}

function listOfPrompts(prompt: CompletionBody['prompt']): (string | number[])[] {
  if (typeof prompt === 'string') return [prompt];
  const ids = prompt.filter((item) => typeof item === 'number');
  if (ids.length > 0) return [ids];
  return prompt.filter((item) => typeof item !== 'number');
}

function checkIds(field: string, ids: readonly (string | number)[], vocabSize: number): void {
  const isId = (id: string) => /^\d{1,8}$/.test(id) && Number(id) < vocabSize;
  const wrong = ids.find((id) => !isId(String(id)));
  if (wrong === undefined) return;
  throw badRequest(`${field}: expected token ids below ${vocabSize}, found '${wrong}'`, field);
}
