// One file from a server to the disk: resumed where an earlier try stopped, tried again when the
// connection breaks, and checked before it gets its name.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HubError } from '../errors.js';
import { withLock } from './lock.js';
import { fileExists } from './node_files.js';
import {
  type Answer,
  type Authorization,
  followRedirects,
  type RedirectOptions,
} from './redirects.js';

export interface RequestOptions {
  /** Headers for every server, also those behind redirects: no secrets. */
  headers: Readonly<Record<string, string>>;
  authorization?: Authorization | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds before the first new try; doubled each time. Default 1000. */
  retryDelay?: number | undefined;
  /** Milliseconds without a byte after which a connection counts as broken. Default 30,000. */
  timeout?: number | undefined;
}

export interface ExpectedFile {
  readonly url: string;
  /** Bytes, when the server said. */
  readonly size: number | undefined;
  /** The SHA-256 or the git hash of the content, as the hub's ETag gives it. */
  readonly etag: string;
}

const MAX_TRIES = 5;
const STALL_MS = 30_000;
const MAX_DELAY_MS = 60_000;

/** A failure that another try may mend. */
class TransientError extends HubError {
  constructor(
    message: string,
    readonly retryAfterMs?: number,
    options?: ErrorOptions & { status?: number },
  ) {
    super(message, options);
  }
}

/**
 * Runs a request until it succeeds, up to MAX_TRIES times in a row without progress.
 *
 * @param progress a number that grows when a failed try got further; then counting starts again.
 */
async function withRetries<T>(
  options: RequestOptions,
  run: () => Promise<T>,
  progress: () => Promise<number> = async () => 0,
  maxTries = MAX_TRIES,
): Promise<T> {
  let furthest = await progress();
  for (let failures = 1; ; failures++) {
    try {
      return await run();
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof TransientError)) throw error;
      const reached = await progress();
      if (reached > furthest) failures = 1;
      furthest = Math.max(furthest, reached);
      if (failures >= maxTries) {
        throw new HubError(`${error.message} (tried ${failures} times)`, {
          cause: error,
          ...(error.status !== undefined && { status: error.status }),
        });
      }
      const delay = error.retryAfterMs ?? (options.retryDelay ?? 1000) * 2 ** (failures - 1);
      await sleep(Math.min(delay, MAX_DELAY_MS), undefined, { signal: options.signal });
    }
  }
}

type RetryOptions = RequestOptions & RedirectOptions & { maxTries?: number | undefined };

/** A GET or HEAD with retries, behind its redirects. @throws HubError */
export function request(
  url: string,
  method: 'GET' | 'HEAD',
  options: RetryOptions,
): Promise<Answer> {
  return withRetries(options, () => send(url, method, options), undefined, options.maxTries);
}

/** The JSON at a URL, undefined where it is none; with retries. @throws HubError */
export function requestJson(url: string, options: RetryOptions): Promise<unknown> {
  const run = async () => jsonOf(url, (await send(url, 'GET', options)).response);
  return withRetries(options, run, undefined, options.maxTries);
}

async function send(
  url: string,
  method: 'GET' | 'HEAD',
  options: RequestOptions & RedirectOptions,
): Promise<Answer> {
  const signal = AbortSignal.any([
    AbortSignal.timeout(options.timeout ?? STALL_MS),
    ...signalsOf(options),
  ]);
  const answer = await followRedirects(url, options.headers, options, (at, headers) =>
    tryFetch(at, { method, redirect: 'manual', signal, headers }),
  );
  if (answer.response.status < 400) return answer;
  await answer.response.body?.cancel();
  throw statusError(url, answer.response);
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

/**
 * Downloads a file to `path`. What an earlier call left in `path.incomplete` is not fetched again.
 *
 * @param onBytes called with the bytes of the file that are on the disk.
 * @throws HubError; what was fetched so far stays for the next call, unless its content is wrong.
 */
export async function downloadFile(
  expected: ExpectedFile,
  path: string,
  options: RequestOptions,
  onBytes: (bytes: number) => void = () => {},
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await withLock(`${path}.incomplete.lock`, { signal: options.signal }, async () => {
    // Another process may have been faster.
    if (!(await fileExists(path))) await downloadLocked(expected, path, options, onBytes);
  });
}

async function downloadLocked(
  expected: ExpectedFile,
  path: string,
  options: RequestOptions,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const partial = `${path}.incomplete`;
  for (let attempt = 1; ; attempt++) {
    await withRetries(
      options,
      () => fetchRest(expected, partial, options, onBytes),
      () => sizeOfFile(partial),
    );
    if (await hasContent(partial, expected.etag)) break;
    await rm(partial, { force: true });
    if (attempt === 2) {
      throw new HubError(
        `${expected.url}: what arrived is not what the hub promised (checksum ${expected.etag}), twice`,
      );
    }
  }
  await rename(partial, path);
}

/** Appends what is missing of a file. */
async function fetchRest(
  { url, size }: ExpectedFile,
  partial: string,
  options: RequestOptions,
  onBytes: (bytes: number) => void,
): Promise<void> {
  let have = await sizeOfFile(partial);
  if (size !== undefined && have > size) {
    await rm(partial, { force: true });
    have = 0;
  }
  if (have === size && size > 0) return;
  const stall = new AbortController();
  const timer = setTimeout(() => stall.abort(), options.timeout ?? STALL_MS);
  const handle = await open(partial, 'a');
  try {
    const headers = { ...options.headers, ...(have > 0 && { range: `bytes=${have}-` }) };
    const signal = AbortSignal.any([stall.signal, ...signalsOf(options)]);
    const { response } = await followRedirects(url, headers, options, (at, own) =>
      tryFetch(at, { redirect: 'manual', headers: own, signal }),
    );
    if (response.status === 416) {
      await handle.truncate(0);
      throw new TransientError(`${url}: the server cannot resume it`, 0);
    }
    if (response.status >= 400) throw statusError(url, response);
    const resumed = response.headers.get('content-range')?.startsWith(`bytes ${have}-`);
    if (have > 0 && !(response.status === 206 && resumed)) {
      await handle.truncate(0);
      have = 0;
    }
    onBytes(have);
    for await (const chunk of bodyOf(url, response)) {
      timer.refresh();
      await handle.appendFile(chunk);
      have += chunk.byteLength;
      onBytes(have);
    }
  } finally {
    clearTimeout(timer);
    await handle.close();
    stall.abort(); // drops a connection that was left half-way
  }
  if (size !== undefined && have < size) {
    throw new TransientError(`${url}: the connection ended after ${have} of ${size} bytes`);
  }
}

async function* bodyOf(url: string, response: Response): AsyncGenerator<Uint8Array> {
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
    return await fetch(url, init);
  } catch (error) {
    throw new TransientError(
      `${new URL(url).origin} cannot be reached (${reason(error)})`,
      undefined,
      {
        cause: error,
      },
    );
  }
}

/** The innermost cause says what happened; fetch itself only that it failed. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reason(error.cause);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

/** What an HTTP error means for who wants a model. */
function statusError(url: string, response: Response): HubError {
  const { status } = response;
  const said = response.headers.get('x-error-message');
  const detail = said ? `: ${said}` : '';
  if (status === 429 || status >= 500) {
    const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
    const wait = Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
    const what = status === 429 ? 'asks to slow down' : 'has a problem';
    return new TransientError(`${url}: the server ${what} (HTTP ${status}${detail})`, wait, {
      status,
    });
  }
  if (status === 401 || status === 403) {
    return new HubError(
      `${url}: access denied (HTTP ${status}${detail}). The id may be wrong; a private or gated ` +
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

async function sizeOfFile(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** Compares with the SHA-256 (large files) or the git blob hash (small ones); others are not known. */
async function hasContent(path: string, etag: string): Promise<boolean> {
  const isSha256 = /^[0-9a-f]{64}$/.test(etag);
  if (!isSha256 && !/^[0-9a-f]{40}$/.test(etag)) return true;
  const hash = createHash(isSha256 ? 'sha256' : 'sha1');
  if (!isSha256) hash.update(`blob ${await sizeOfFile(path)}\0`);
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest('hex') === etag;
}
