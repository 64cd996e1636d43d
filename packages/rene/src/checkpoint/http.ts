// HTTP requests to a hub: redirects, proxies, retries, rate limits and error messages.
import { anySignal } from '../any_signal.js';
import { HubError } from '../errors.js';
import { checkConnection } from './connect.js';
import { proxiedFetch, proxyFor } from './proxy.js';
import { secondsToWait } from './rate_limit.js';
import {
  type Answer,
  type Authorization,
  followRedirects,
  type RedirectOptions,
} from './redirects.js';
import { type RetryHabits, TransientError, withRetries } from './retries.js';

export interface RequestOptions extends RetryHabits {
  /** Headers for every server, also after redirects: no secrets. */
  headers: Readonly<Record<string, string>>;
  authorization?: Authorization | undefined;
  /** Milliseconds without data after which a connection counts as broken. Default: 30,000. */
  timeout?: number | undefined;
}

/** Options of a single request. */
export interface SendOptions extends RedirectOptions {
  method?: 'GET' | 'HEAD' | undefined;
  headers?: Readonly<Record<string, string>> | undefined;
  /** Aborts this request. Default: a timeout for the whole request. */
  signal?: AbortSignal | undefined;
  /** Whether to return responses with this error status. Default: none. */
  isUsable?: ((answer: Answer) => boolean) | undefined;
}

/**
 * Timeout of the first connection, from the process's start: 5 s. After that there is assumed to be no
 * network.
 */
const FIRST_CONTACT_MS = 4000;
/** Retry a refused first connection until then. */
const FIRST_RETRIES_MS = 2000;
export const STALL_MS = 30_000;

/**
 * The JSON at a URL of a server that was not contacted before, with retries; undefined if it is not JSON.
 * Without a network it fails within 5 s.
 *
 * @throws HubError
 */
export function firstJson(
  url: string,
  options: RequestOptions,
  maxTries?: number,
): Promise<unknown> {
  const start = Date.now();
  let isConnected = false;
  const run = async () => {
    if (!isConnected) {
      const ms = Math.max(1, start + FIRST_CONTACT_MS - Date.now());
      await checkConnection(url, ms, options.signal).catch((error: unknown) => {
        throw unreachable(url, error);
      });
    }
    isConnected = true;
    return jsonOf(url, (await send(url, options)).response);
  };
  return withRetries(options, run, { maxTries, deadline: start + FIRST_RETRIES_MS });
}

async function jsonOf(url: string, response: Response): Promise<unknown> {
  const parts: Uint8Array[] = [];
  for await (const part of bodyOf(url, response)) parts.push(part);
  try {
    return JSON.parse(Buffer.concat(parts).toString());
  } catch {
    return undefined;
  }
}

/** One request with its redirects. @throws HubError; TransientError if a retry may help */
export async function send(
  url: string,
  options: RequestOptions,
  { method = 'GET', headers = {}, signal, isFinal, isUsable = () => false }: SendOptions = {},
): Promise<Answer> {
  const { authorization, timeout = STALL_MS } = options;
  const abort = [signal ?? AbortSignal.timeout(timeout), ...signalsOf(options)];
  const all = { ...options.headers, ...headers };
  const answer = await followRedirects(url, all, { authorization, isFinal }, (at, own) =>
    tryFetch(at, { method, redirect: 'manual', headers: own, signal: anySignal(abort) }),
  );
  if (answer.response.status < 400 || isUsable(answer)) return answer;
  await answer.response.body?.cancel();
  const { origin } = new URL(answer.url);
  const isElsewhere = authorization !== undefined && authorization.origin !== origin;
  throw statusError(url, answer.response, isElsewhere ? origin : undefined);
}

export async function* bodyOf(url: string, response: Response): AsyncGenerator<Uint8Array> {
  try {
    if (response.body) for await (const chunk of response.body) yield chunk;
  } catch (error) {
    throw new TransientError(`${url}: the connection broke (${reason(error)})`, undefined, {
      cause: error,
    });
  }
}

async function tryFetch(url: string, init: RequestInit): Promise<Response> {
  try {
    return await proxiedFetch(url, init);
  } catch (error) {
    throw error instanceof HubError ? error : unreachable(url, error);
  }
}

function unreachable(url: string, cause: unknown): HubError {
  if (cause instanceof HubError) return cause;
  const proxy = proxyFor(url);
  const way = proxy ? ` through the proxy ${proxy.origin}` : '';
  const why = reason(cause);
  const message = `${new URL(url).origin} cannot be reached${way} (${why})`;
  const hint = hintFor(why, codeOf(cause));
  if (hint !== undefined) return new HubError(`${message}; ${hint}`, { cause });
  return new TransientError(message, undefined, { cause });
}

/** Advice for a permanent failure. */
function hintFor(why: string, code: string): string | undefined {
  if (/CERT|SIGNATURE/.test(code)) {
    return "name the file with your company's own certificate in NODE_EXTRA_CA_CERTS";
  }
  const proxyStatus = /^Proxy .*\((4\d\d)\)/.exec(why)?.[1];
  if (proxyStatus === '407') {
    return 'the proxy wants a login: http://user:password@host:port in HTTPS_PROXY';
  }
  return proxyStatus && 'the proxy refuses it; ask who runs it, or name the host in NO_PROXY';
}

/** The innermost cause has the reason; fetch's own error only says that it failed. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reason(error.cause);
  const code = codeOf(error);
  return code === '' || code.startsWith('UND_ERR') ? error.message : code;
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  if (error.cause instanceof Error) return codeOf(error.cause);
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/**
 * The meaning of an HTTP error for a user who wants a model.
 *
 * @param stranger the responding origin, if the token was not sent there
 */
function statusError(url: string, response: Response, stranger?: string): HubError {
  const { status } = response;
  const said = response.headers.get('x-error-message');
  const detail = said ? `: ${said}` : '';
  // A proxy's own response: no server was reached.
  if ((status === 502 || status === 504) && proxyFor(url)) {
    return unreachable(url, new Error(`HTTP ${status}`));
  }
  if (status === 429 || status >= 500) {
    const wait = secondsToWait(response.headers);
    const what = status === 429 ? 'asks to slow down' : 'has a problem';
    return new TransientError(`${url}: the server ${what} (HTTP ${status}${detail})`, wait, {
      status,
    });
  }
  if (status === 401 || status === 403) {
    const hint =
      stranger === undefined
        ? ''
        : `. The hub redirects to ${stranger}, which is not sent the token; name it in HF_ENDPOINT if it is meant`;
    return new HubError(
      `${url}: access denied (HTTP ${status}${detail})${hint}. The id may be wrong; a private or gated ` +
        'model needs a token in HF_TOKEN, and its terms accepted on its page',
      { status },
    );
  }
  if (status === 404) return new HubError(`${url}: not found (HTTP 404${detail})`, { status });
  return new HubError(`${url}: the server refused (HTTP ${status}${detail})`, { status });
}

function signalsOf({ signal }: RequestOptions): AbortSignal[] {
  return signal ? [signal] : [];
}
