// Files on web servers: JSON, and large files read in pieces. Browser and Node.
import { CheckpointError } from '../errors.js';
import { parseJson } from '../json.js';
import { type ByteSource, blobSource, checkRange } from './byte_source.js';
import { shownUrl } from './model_names.js';

/** Options of a request for a file. */
export interface WebFileOptions {
  headers?: Readonly<Record<string, string>> | undefined;
  /** Called when a whole file is read into memory. */
  onNotice?: ((notice: string) => void) | undefined;
}

/** The reason why a file is missing: 'HTTP 404', 'a web page'. */
export class Missing {
  constructor(readonly why: string) {}
}

/**
 * The content of a JSON file. A response with a web page, 401 or 403 counts as a missing file.
 *
 * @throws CheckpointError if the server cannot be reached, fails, or sends other content
 */
export async function fetchJson(
  url: string,
  options: WebFileOptions = {},
): Promise<{ json: unknown } | Missing> {
  const text = await fetchText(url, options);
  if (text instanceof Missing) return text;
  try {
    return { json: parseJson(text) };
  } catch (error) {
    const why = error instanceof Error ? error.message : error;
    throw new CheckpointError(`${shownUrl(url)}: not JSON: ${why}`, undefined, { cause: error });
  }
}

/** The content of a text file, as fetchJson reads it. @throws CheckpointError */
export async function fetchText(
  url: string,
  options: WebFileOptions = {},
): Promise<string | Missing> {
  const response = await ask(url, options);
  if (response instanceof Missing) return response;
  const text = await whole(url, () => response.text());
  if (isPage(response, text)) return new Missing('a web page');
  return text.trim() === '' ? new Missing('an empty answer') : text;
}

/**
 * A file that is read with range requests. If the server supports no ranges, or does not state the size,
 * the whole file is read into memory.
 *
 * @throws CheckpointError if the server cannot be reached, or fails
 */
export async function findUrlSource(
  url: string,
  options: WebFileOptions = {},
): Promise<ByteSource | Missing> {
  const name = shownUrl(url);
  const probe = await ask(url, options, { ...PLAIN, range: 'bytes=0-0' });
  if (probe instanceof Missing) return probe;
  if (probe.status !== 206) return readWhole(url, probe, options);
  const told = /\/(\d+)$/.exec(probe.headers.get('content-range') ?? '')?.[1];
  if (isPage(probe, await whole(url, () => probe.text()))) return new Missing('a web page');
  const size = told === undefined ? await lengthByHead(url, options) : Number(told);
  if (size === undefined) {
    const answer = await ask(url, options, PLAIN);
    return answer instanceof Missing ? answer : readWhole(url, answer, options);
  }
  return {
    name,
    size,
    async read(start, length) {
      checkRange(name, size, start, length);
      if (length === 0) return new Uint8Array(0);
      const range = `bytes=${start}-${start + length - 1}`;
      const response = await ask(url, options, { ...PLAIN, range });
      const found = response instanceof Missing ? response.why : `HTTP ${response.status}`;
      if (response instanceof Missing || response.status !== 206) {
        throw new CheckpointError(`${name}: expected a range of bytes, found ${found}`);
      }
      const bytes = new Uint8Array(await whole(url, () => response.arrayBuffer()));
      if (bytes.length === length) return bytes;
      throw new CheckpointError(`${name}: expected ${length} bytes, found ${bytes.length}`);
    },
    async close() {},
  };
}

/** Like findUrlSource, for a required file. @throws CheckpointError */
export async function urlSource(url: string, options: WebFileOptions = {}): Promise<ByteSource> {
  const source = await findUrlSource(url, options);
  if (source instanceof Missing) {
    throw new CheckpointError(`${shownUrl(url)}: expected a file, found ${source.why}`);
  }
  return source;
}

/** Lengths and ranges must be those of the uncompressed file. Pages cannot set this header. */
const PLAIN = { 'accept-encoding': 'identity' };

async function ask(
  url: string,
  { headers }: WebFileOptions,
  more: Readonly<Record<string, string>> = {},
  method = 'GET',
): Promise<Response | Missing> {
  const { platformFetch, UNREACHABLE_ADVICE } = await import('./platform.js');
  const response = await platformFetch(url, { method, headers: { ...headers, ...more } }).catch(
    (error: unknown) => {
      const why = `${shownUrl(url)}: cannot be reached (${reason(error)})`;
      throw new CheckpointError(`${why}; ${UNREACHABLE_ADVICE}`, undefined, { cause: error });
    },
  );
  if (response.ok) return response;
  await response.body?.cancel();
  const { status } = response;
  const why = `HTTP ${status}`;
  // The file may exist even if a server is busy or failing.
  if (status < 500 && status !== 408 && status !== 429) return new Missing(why);
  throw new CheckpointError(`${shownUrl(url)}: ${why}`);
}

/** The size by Content-Length, which pages may read where Content-Range is not exposed to them. */
async function lengthByHead(url: string, options: WebFileOptions): Promise<number | undefined> {
  const response = await ask(url, options, PLAIN, 'HEAD');
  if (response instanceof Missing || response.headers.has('content-encoding')) return undefined;
  const length = Number(response.headers.get('content-length'));
  return Number.isSafeInteger(length) && length > 0 ? length : undefined;
}

/** Bytes are collected in blobs, which a browser can keep on disk. */
const PART_BYTES = 1 << 26;

async function readWhole(
  url: string,
  response: Response,
  { onNotice }: WebFileOptions,
): Promise<ByteSource | Missing> {
  const name = shownUrl(url);
  const length = Number(response.headers.get('content-length'));
  const size = length > 1e7 ? ` (${Math.round(length / 1e6)} MB)` : '';
  if (size !== '') onNotice?.(`${name}: the server gives no ranges; reading the whole file${size}`);
  const blobs: Blob[] = [];
  let parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  await whole(url, async () => {
    const reader = response.body?.getReader();
    for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
      parts.push(new Uint8Array(read.value));
      bytes += read.value.byteLength;
      if (bytes < PART_BYTES) continue;
      blobs.push(new Blob(parts));
      parts = [];
      bytes = 0;
    }
  });
  const blob = new Blob([...blobs, ...parts]);
  if (isPage(response, await blob.slice(0, 100).text())) return new Missing('a web page');
  return blobSource(blob, name);
}

/**
 * Whether a response is a web page: an error page, or that of a single-page app. Some servers send every file
 * with a page's type, so the beginning of the content counts too.
 */
function isPage({ headers }: Response, start: string): boolean {
  const type = headers.get('content-type') ?? '';
  if (/^(?:text\/html|application\/xhtml\+xml)\b/i.test(type))
    return /^\ufeff?\s*(?:<|$)/.test(start);
  return /^\ufeff?\s*<(?:!doctype|html|\?xml|!--)/i.test(start);
}

/** Reads a body to its end. */
async function whole<T>(url: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new CheckpointError(
      `${shownUrl(url)}: the connection broke (${reason(error)})`,
      undefined,
      {
        cause: error,
      },
    );
  }
}

/** The innermost cause: in Node, fetch's own error only says that it failed. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reason(error.cause);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}
