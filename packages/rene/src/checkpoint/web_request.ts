// Requests for files on web servers. Browser and Node.
import { CheckpointError } from '../errors.js';
import { shownUrl } from './model_names.js';
import { Missing, type WebFileOptions } from './web_file_options.js';

/** The server cannot be reached. */
export class UnreachableError extends CheckpointError {}

/** A response ended early. */
export class BrokenError extends CheckpointError {}

/** The server is busy or fails: HTTP 408, 429, 5xx. */
export class BusyError extends CheckpointError {}

/** Whether the same request may succeed later. */
export function mayPass(error: unknown): boolean {
  return [UnreachableError, BrokenError, BusyError].some((kind) => error instanceof kind);
}

/** Attempts to read a response that breaks. */
const MAXIMUM_TRIES = 3;

/** Sends a request anew where its response breaks. The caller has used no part of it. */
export async function retryBroken<T>(options: WebFileOptions, run: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await run();
    } catch (error) {
      options.signal?.throwIfAborted();
      const mayHelp = tries === 0 ? error instanceof BrokenError : mayPass(error);
      if (!mayHelp || tries >= MAXIMUM_TRIES) throw error;
      await backOff(tries, options);
    }
  }
}

/** Lengths and ranges must be those of the uncompressed file. Pages cannot set this header. */
export const PLAIN = { 'accept-encoding': 'identity' };

/**
 * Sends one request. A status that means that the file is missing is returned, not thrown.
 *
 * @throws UnreachableError, BusyError
 */
export async function ask(
  url: string,
  { headers, signal }: WebFileOptions,
  more: Readonly<Record<string, string>> = {},
  init: { method?: 'HEAD'; cache?: 'no-store' } = {},
): Promise<Response | Missing> {
  const { platformFetch, UNREACHABLE_ADVICE } = await import('./platform.js');
  const all = { ...headers, ...more };
  const options = { ...init, headers: all, ...(signal && { signal }) };
  const response = await platformFetch(url, options).catch((error: unknown) => {
    signal?.throwIfAborted();
    const why = `${shownUrl(url)}: cannot be reached (${reason(error)})`;
    throw new UnreachableError(`${why}; ${UNREACHABLE_ADVICE}`, undefined, { cause: error });
  });
  if (response.ok) return response;
  await response.body?.cancel();
  const { status } = response;
  const why = `HTTP ${status}`;
  // The file may exist even if a server is busy or failing.
  if (status < 500 && status !== 408 && status !== 429) return new Missing(why);
  throw new BusyError(`${shownUrl(url)}: ${why}`);
}

/**
 * Whether a response is a web page: an error page, or that of a single-page app. Some servers send every file
 * with a page's type, so the beginning of the content counts too.
 */
export function isPage({ headers }: Response, start: string): boolean {
  const type = headers.get('content-type') ?? '';
  if (/^(?:text\/html|application\/xhtml\+xml)\b/i.test(type))
    return /^\ufeff?\s*(?:<|$)/.test(start);
  return /^\ufeff?\s*<(?:!doctype|html|\?xml|!--)/i.test(start);
}

/** The position of a response's first byte in the file, and the file's size if the server states it. */
export function extentOf(response: Response, asked: number): { start: number; size?: number } {
  const start = response.status === 206 ? asked : 0;
  const told = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
  if (response.status === 206 && told !== undefined) return { start, size: Number(told) };
  if (response.status === 206 && response.headers.has('content-range')) return { start };
  if (response.headers.has('content-encoding')) return { start };
  const length = Number(response.headers.get('content-length') ?? Number.NaN);
  return Number.isSafeInteger(length) ? { start, size: start + length } : { start };
}

/** Waits before a retry: not at all before the first, then longer each time. */
export function backOff(tries: number, { retryDelay = 500 }: WebFileOptions): Promise<void> {
  const delay = tries === 0 ? 0 : retryDelay * 2 ** (tries - 1);
  return new Promise((resolve) => setTimeout(resolve, delay));
}

/** Identifies a version of a file: ETag or Last-Modified. A page may not be allowed to read them. */
export function validatorOf({ headers }: Response): string | undefined {
  return headers.get('etag') ?? headers.get('last-modified') ?? undefined;
}

export function brokenError(url: string, cause: unknown): BrokenError {
  return new BrokenError(`${shownUrl(url)}: the connection broke (${reason(cause)})`, undefined, {
    cause,
  });
}

/** The innermost cause: in Node, fetch's own error only says that it failed. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reason(error.cause);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}
