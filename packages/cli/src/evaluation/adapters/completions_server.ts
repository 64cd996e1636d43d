// Adapter for servers with OpenAI's /v1/completions that can echo prompts with log-probabilities.

import type { Tokenizer } from '@rene-js/rene';
import { anySignal } from '@rene-js/rene/internal';
import { EvaluationError } from '../errors.js';
import type { EvaluationModel, ScoreOptions } from '../evaluation_model.js';
import type { Loglikelihood } from '../metrics.js';
import { checkRequest, type TokenRequest, truncateRequest } from '../requests.js';
import { type Doc, isDoc } from '../task.js';

export interface CompletionsServerOptions {
  /** The model's name on the server. */
  model: string;
  /** The model's tokenizer. Default: the server's /tokenize. */
  tokenizer?: Pick<Tokenizer, 'encode' | 'eosTokenId'> | undefined;
  /** Prompts per HTTP request. Default: 8. */
  batchSize?: number | undefined;
  /** Number of concurrent HTTP requests. Default: 1. */
  concurrency?: number | undefined;
  /**
   * Maximum number of prompt tokens. Default: one less than the server's max_model_len (vLLM and `rene
   * serve` state it), which leaves room for the token that must be generated; else 2047, as in lm-eval's
   * client.
   */
  maxLength?: number | undefined;
  apiKey?: string | undefined;
}

/** Waits between retries, in milliseconds. */
const RETRY_DELAYS = [1000, 4000];
/** Maximum wait that a server may request. */
const LONGEST_WAIT = 30_000;
const TIMEOUT = 300_000;
const USUAL_MAX_LENGTH = 2047;

/** The server refused the request. */
class RefusedError extends EvaluationError {}

export class CompletionsServer implements EvaluationModel {
  /** Maximum number of input tokens; the last one of a text is part of the prompt here. */
  readonly maxLength: number;

  private constructor(
    private readonly url: string,
    private readonly options: CompletionsServerOptions,
    longestPrompt: number,
    readonly prefixTokenId: number,
    private readonly encode: (text: string) => number[] | Promise<number[]>,
  ) {
    this.maxLength = longestPrompt - 1;
  }

  /**
   * @param url of the completions route, such as http://localhost:8000/v1/completions
   * @throws EvaluationError if there is no tokenizer and the server offers none
   */
  static async connect(url: string, options: CompletionsServerOptions): Promise<CompletionsServer> {
    const { tokenizer, maxLength = await listedMaxLength(url, options) } = options;
    if (tokenizer) {
      const prefix = tokenizer.eosTokenId ?? 0;
      const encode = (text: string) => tokenizer.encode(text);
      return new CompletionsServer(url, options, maxLength, prefix, encode);
    }
    const root = url.replace(/\/v1\/completions\/?$/, '');
    const encode = async (text: string): Promise<number[]> => {
      const body = { prompt: text, add_special_tokens: false };
      return idsOf((await post(`${root}/tokenize`, body, options)).tokens);
    };
    const info = await get(`${root}/tokenizer_info`, options);
    if (typeof info.eos_token !== 'string') {
      throw new EvaluationError(
        `${root}/tokenizer_info: it names no eos_token; give the model's tokenizer with --tokenizer`,
      );
    }
    const [prefix = 0] = await encode(info.eos_token);
    return new CompletionsServer(url, options, maxLength, prefix, encode);
  }

  tokenize(text: string): number[] | Promise<number[]> {
    return this.encode(text);
  }

  async loglikelihoods(
    requests: readonly TokenRequest[],
    { onResult, onProgress, signal }: ScoreOptions = {},
  ): Promise<Loglikelihood[]> {
    const { batchSize = 8, concurrency = 1 } = this.options;
    const results = new Map<number, Loglikelihood>();
    const prompts = requests.map((request, index) => {
      checkRequest(request);
      return { index, ...truncateRequest(request, this.maxLength) };
    });
    prompts.sort((a, b) => b.ids.length - a.ids.length);
    let next = 0;
    const work = async (): Promise<void> => {
      while (next < prompts.length) {
        signal?.throwIfAborted();
        const batch = prompts.slice(next, next + batchSize);
        next += batch.length;
        const found = await this.score(batch, signal);
        batch.forEach(({ index }, i) => {
          const result = found[i] ?? { loglikelihood: Number.NaN, isGreedy: false };
          results.set(index, result);
          onResult?.(index, result);
        });
        onProgress?.(results.size / prompts.length);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, work));
    return requests.map((_, i) => results.get(i) ?? { loglikelihood: Number.NaN, isGreedy: false });
  }

  private async score(
    batch: readonly { ids: number[]; scored: number }[],
    signal: AbortSignal | undefined,
  ): Promise<Loglikelihood[]> {
    const body = {
      model: this.options.model,
      prompt: batch.map(({ ids }) => ids),
      temperature: 0,
      max_tokens: 1,
      logprobs: 1,
      seed: 1234,
      echo: true,
    };
    const { choices } = await post(this.url, body, this.options, signal);
    if (!Array.isArray(choices) || choices.length !== batch.length) {
      throw new EvaluationError(`${this.url}: expected ${batch.length} choices in the answer`);
    }
    const sorted = choices.toSorted((a, b) => indexOf(a) - indexOf(b));
    return sorted.map((choice: unknown, i) => {
      const { ids = [], scored = 0 } = batch[i] ?? {};
      return this.readChoice(choice, ids.length, scored);
    });
  }

  /** Log-probabilities of the echoed prompt, followed by that of the generated token, which is dropped. */
  private readChoice(choice: unknown, length: number, scored: number): Loglikelihood {
    const logprobs = isDoc(choice) ? choice.logprobs : undefined;
    const { token_logprobs: values, top_logprobs: tops } = isDoc(logprobs) ? logprobs : {};
    if (!Array.isArray(values) || !Array.isArray(tops) || values.length < length) {
      throw new EvaluationError(
        `${this.url}: the answer has no log-probabilities of the prompt; the server must support echo and logprobs`,
      );
    }
    let loglikelihood = 0;
    let isGreedy = true;
    for (let i = length - scored; i < length; i++) {
      const value = Number(values[i]);
      loglikelihood += value;
      const top = isDoc(tops[i]) ? Object.values(tops[i] ?? {}).map(Number) : [];
      isGreedy &&= value === Math.max(...top);
    }
    return { loglikelihood, isGreedy };
  }
}

/** The maximum prompt length that the server states, else the usual one. */
async function listedMaxLength(url: string, options: CompletionsServerOptions): Promise<number> {
  const models = url.replace(/\/completions\/?$/, '/models');
  const { data } = await get(models, options).catch((error: unknown): Doc => {
    // Not every server has this route.
    if (error instanceof RefusedError) return {};
    throw error;
  });
  const listed = Array.isArray(data) ? data.filter(isDoc) : [];
  const length = listed.find(({ id }) => id === options.model)?.max_model_len;
  const isUsable = typeof length === 'number' && Number.isInteger(length) && length > 2;
  return isUsable ? length - 1 : USUAL_MAX_LENGTH;
}

function indexOf(choice: unknown): number {
  return isDoc(choice) ? Number(choice.index) : 0;
}

function idsOf(value: unknown): number[] {
  if (Array.isArray(value) && value.every((id) => typeof id === 'number')) return value;
  throw new EvaluationError('/tokenize: expected a list of token ids named tokens');
}

function get(url: string, options: CompletionsServerOptions): Promise<Doc> {
  return send(url, { method: 'GET' }, options);
}

function post(
  url: string,
  body: object,
  options: CompletionsServerOptions,
  signal?: AbortSignal,
): Promise<Doc> {
  return send(url, { method: 'POST', body: JSON.stringify(body) }, options, signal);
}

async function send(
  url: string,
  init: RequestInit,
  { apiKey }: CompletionsServerOptions,
  signal?: AbortSignal,
): Promise<Doc> {
  const headers = {
    'content-type': 'application/json',
    ...(apiKey && { authorization: `Bearer ${apiKey}` }),
  };
  for (let attempt = 0; ; attempt++) {
    const answer = await fetch(url, { ...init, headers, signal: timeoutOr(signal) }).then(
      (response) => readAnswer(url, response),
      (error: unknown): Answer => {
        signal?.throwIfAborted();
        const cause = error instanceof Error ? (error.cause ?? error) : error;
        const message = `${url}: cannot be reached (${String(cause)})`;
        return { error: new EvaluationError(message, { cause: error }), retry: true };
      },
    );
    if ('json' in answer) return answer.json;
    const delay = RETRY_DELAYS[attempt];
    if (delay === undefined || !answer.retry) throw answer.error;
    const wait = Math.min(answer.retryAfter ?? 0, LONGEST_WAIT);
    await new Promise((resolve) => setTimeout(resolve, Math.max(delay, wait)));
    signal?.throwIfAborted();
  }
}

/** The outcome of a request; `retryAfter` in milliseconds, if the server states it. */
type Answer = { json: Doc } | { error: EvaluationError; retry: boolean; retryAfter?: number };

async function readAnswer(url: string, response: Response): Promise<Answer> {
  const text = await response.text();
  const { ok, status, headers } = response;
  if (!ok) {
    // A busy server (429) will accept it later; any other 4xx is final.
    const retry = status === 429 || status >= 500;
    const message = `${url}: HTTP ${status}: ${text.slice(0, 200)}`;
    const error = retry ? new EvaluationError(message) : new RefusedError(message);
    const seconds = Number(headers.get('retry-after'));
    return { error, retry, ...(seconds > 0 && { retryAfter: seconds * 1000 }) };
  }
  const json = parseJson(text);
  if (isDoc(json)) return { json };
  return { error: new EvaluationError(`${url}: expected an object of JSON`), retry: true };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function timeoutOr(signal: AbortSignal | undefined): AbortSignal {
  const timeout = AbortSignal.timeout(TIMEOUT);
  return signal ? anySignal([timeout, signal]) : timeout;
}
