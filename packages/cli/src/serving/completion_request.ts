// Converts the body of POST /v1/completions to jobs: checks, limits, token ids.
import { badRequest } from './api_error.js';
import type { CompletionBody } from './completion_schema.js';
import type { Job } from './job.js';
import type { PromptEncodeOptions, PromptEncoder } from './tokenizer_thread.js';

/** The operator's limits. */
export interface CompletionLimits {
  /** Maximum number of tokens per sequence, prompt included. */
  maxLength: number;
  /** Maximum number of sequences per request. */
  maxSequences: number;
  /** Maximum number of log-probabilities per answer. */
  maxLogprobs: number;
  vocabSize: number;
  /** The token that begins a document; null if the tokenizer has none. */
  eosTokenId: number | null;
}

/** One prompt of a request. */
export interface Prompt {
  /** As sent by the client; undefined for token ids. */
  text: string | undefined;
  ids: readonly number[];
}

/** The jobs of a request: one per prompt, each with `sequencesOf(body)` sequences. */
export interface CompletionJobs {
  prompts: readonly Prompt[];
  jobs: readonly Job[];
}

/** How a prompt came about. */
export interface PromptSource {
  /** The request's field, for errors. Default: 'prompt'. */
  field?: string | undefined;
  /** Ends the tokenising of long prompts. */
  signal?: AbortSignal;
}

/** @throws ApiError (400) */
export async function completionJobs(
  body: CompletionBody,
  encoder: PromptEncoder,
  limits: CompletionLimits,
  { field = 'prompt', signal }: PromptSource = {},
): Promise<CompletionJobs> {
  checkCombinations(body);
  const given = listOfPrompts(body.prompt ?? '');
  const n = sequencesOf(body);
  if (given.length * n > limits.maxSequences) {
    const found = `${given.length} prompts, ${n} sequences each`;
    throw badRequest(
      `${field}: expected at most ${limits.maxSequences} sequences in a request, found ${found}`,
      field,
    );
  }
  checkIds('logit_bias', Object.keys(body.logit_bias ?? {}), limits.vocabSize);
  checkIds('stop_token_ids', body.stop_token_ids ?? [], limits.vocabSize);
  checkIds('allowed_token_ids', body.allowed_token_ids ?? [], limits.vocabSize);
  checkIds('bad_words_ids', body.bad_words_ids?.flat() ?? [], limits.vocabSize);
  const prompts: Prompt[] = [];
  // One after the other, so that other requests' texts come in between.
  for (const [i, prompt] of given.entries()) {
    const where = given.length > 1 ? `${field}[${i}]` : field;
    const ids = await promptIds(prompt, where, encoder, limits, {
      addSpecialTokens: body.add_special_tokens ?? true,
      signal,
    });
    prompts.push({ text: typeof prompt === 'string' ? prompt : undefined, ids });
  }
  const jobs = prompts.map(({ ids }, i) => {
    const where = given.length > 1 ? `${field}[${i}]` : field;
    return job(body, ids, maxTokens(body, ids.length, where, limits.maxLength));
  });
  checkAnswerSize(body, jobs, limits.maxLogprobs);
  return { prompts, jobs };
}

/** Number of choices per prompt. */
export function choicesOf(body: CompletionBody): number {
  return body.n ?? body.num_return_sequences ?? body.n_cmpl ?? 1;
}

/** Number of generated sequences per prompt. The best of them are its choices. */
export function sequencesOf(body: CompletionBody): number {
  return body.best_of ?? choicesOf(body);
}

/** The number of prompts of a request. */
export function promptCount({ prompt }: CompletionBody): number {
  return listOfPrompts(prompt ?? '').length;
}

function job(body: CompletionBody, prompt: readonly number[], maxTokens: number): Job {
  const n = sequencesOf(body);
  const { top_k: topK, seed } = body;
  // best_of compares log-probabilities.
  const logProbs = body.logprobs ?? (n > choicesOf(body) ? 0 : undefined);
  const stop = [body.stop ?? [], body.stop_sequences ?? []].flat();
  return {
    prompt,
    n,
    maxTokens,
    temperature: isGreedy(body) ? 0 : (body.temperature ?? 1),
    topP: body.top_p ?? 1,
    topK: topK === null || topK === -1 ? undefined : topK,
    minP: body.min_p ?? undefined,
    typicalP: body.typical_p ?? undefined,
    epsilonCutoff: body.epsilon_cutoff ?? undefined,
    etaCutoff: body.eta_cutoff ?? undefined,
    repetitionPenalty: body.repetition_penalty ?? body.repeat_penalty ?? undefined,
    noRepeatNgramSize: body.no_repeat_ngram_size ?? undefined,
    badWordsIds: body.bad_words_ids ?? undefined,
    seed: seed === null || seed === -1 ? undefined : seed,
    stop: [...new Set(stop)].filter((text) => text !== ''),
    stopIds: body.stop_token_ids ?? undefined,
    allowedIds: body.allowed_token_ids ?? undefined,
    ignoreEos: body.ignore_eos ?? undefined,
    minTokens: body.min_tokens ?? body.min_new_tokens ?? undefined,
    logitBias: body.logit_bias ?? undefined,
    presencePenalty: body.presence_penalty ?? undefined,
    frequencyPenalty: body.frequency_penalty ?? undefined,
    logProbs,
    promptLogProbs: (body.echo ?? false) && body.logprobs != null,
  };
}

/** A nucleus without probability contains only the most probable token. */
function isGreedy({ top_p, do_sample }: CompletionBody): boolean {
  return top_p === 0 || do_sample === false;
}

/** Aliases of fields. */
const SYNONYMS = [
  ['max_tokens', 'max_completion_tokens', 'max_new_tokens', 'n_predict'],
  ['n', 'num_return_sequences', 'n_cmpl'],
  ['repetition_penalty', 'repeat_penalty'],
  ['min_tokens', 'min_new_tokens'],
] as const;

/** @throws ApiError for fields that contradict each other */
function checkCombinations(body: CompletionBody): void {
  for (const names of SYNONYMS) {
    const given = names.filter((name) => body[name] != null);
    const other = given.find((name) => body[name] !== body[given[0] ?? name]);
    if (other === undefined) continue;
    const found = given.map((name) => `${name} ${body[name]}`).join(' and ');
    throw badRequest(`${other}: expected one of ${names.join(', ')}, found ${found}`, other);
  }
  const n = choicesOf(body);
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
  if (body.do_sample && (body.temperature === 0 || body.top_p === 0)) {
    throw badRequest('do_sample: true needs a temperature and a top_p above 0', 'do_sample');
  }
}

/** @throws ApiError if the prompt leaves no room for new tokens */
function maxTokens(
  body: CompletionBody,
  promptLength: number,
  where: string,
  maxLength: number,
): number {
  const { max_tokens, max_completion_tokens, max_new_tokens, n_predict } = body;
  const wanted = max_tokens ?? max_completion_tokens ?? max_new_tokens ?? n_predict;
  const room = maxLength - promptLength;
  if (wanted === -1) return Math.max(0, room); // n_predict: without a limit
  if (wanted == null && room > 0) return Math.min(DEFAULT_MAX_TOKENS, room);
  const tokens = wanted ?? DEFAULT_MAX_TOKENS;
  if (tokens <= room) return tokens;
  throw tooLong(where, maxLength, `${promptLength} tokens and max_tokens ${tokens}`);
}

/** As in OpenAI's API. */
const DEFAULT_MAX_TOKENS = 16;

/** @throws ApiError if log-probabilities would make the answer too large */
function checkAnswerSize(body: CompletionBody, jobs: readonly Job[], most: number): void {
  if (body.logprobs == null) return;
  const perToken = body.logprobs + 1;
  const tokens = jobs.reduce((sum, { n, prompt, maxTokens }) => {
    return sum + n * ((body.echo ? prompt.length : 0) + maxTokens);
  }, 0);
  if (tokens * perToken <= most) return;
  throw badRequest(
    `logprobs: expected at most ${most} log-probabilities in an answer, ` +
      `found ${tokens * perToken} (${tokens} tokens of all sequences, logprobs + 1 = ${perToken} each); ` +
      'ask for fewer sequences, tokens or logprobs',
    'logprobs',
  );
}

async function promptIds(
  prompt: string | readonly number[],
  where: string,
  encoder: PromptEncoder,
  { maxLength, vocabSize, eosTokenId }: CompletionLimits,
  options: PromptEncodeOptions,
): Promise<readonly number[]> {
  if (prompt === '' && eosTokenId !== null) return [eosTokenId];
  // No tokenizer has so many characters per token, so the text can be refused without tokenising it.
  if (typeof prompt === 'string' && prompt.length > 16 * maxLength) {
    throw tooLong(where, maxLength, `${prompt.length} characters`);
  }
  const ids = typeof prompt === 'string' ? await encoder.encode(prompt, options) : prompt;
  if (ids.length === 0) throw badRequest(`${where}: expected at least one token`, fieldOf(where));
  if (ids.length > maxLength) throw tooLong(where, maxLength, `${ids.length} tokens`);
  const wrong = ids.find((id) => id >= vocabSize);
  if (wrong === undefined) return ids;
  throw badRequest(
    `${where}: expected token ids below ${vocabSize}, found ${wrong}`,
    fieldOf(where),
  );
}

function tooLong(where: string, maxLength: number, found: string) {
  const expected = `${where}: expected at most ${maxLength} tokens with those to come`;
  return badRequest(`${expected}, found ${found}`, fieldOf(where), 'context_length_exceeded');
}

/** The field of 'prompt[3]'. */
function fieldOf(where: string): string {
  return where.replace(/\[\d+\]$/, '');
}

function listOfPrompts(prompt: string | string[] | number[] | number[][]): (string | number[])[] {
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
