// Files on web servers: JSON, and large files as sources of bytes. Browser and Node.
import { CheckpointError } from '../errors.js';
import { parseJson } from '../json.js';
import { type ByteSource, blobSource } from './byte_source.js';
import { shownUrl } from './model_names.js';
import { StreamedFile } from './streamed_file.js';
import { Missing, type WebFileOptions } from './web_file_options.js';
import {
  ask,
  brokenError,
  extentOf,
  isPage,
  PLAIN,
  retryBroken,
  UnreachableError,
  validatorOf,
} from './web_request.js';

export { Missing };

/**
 * The content of a JSON file. A response with a web page, 401 or 403 counts as a missing file. Without a network, what
 * the cache has.
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
  const { cache } = options;
  try {
    const found = await retryBroken(options, () => askText(url, options));
    cache?.storeText(url, found);
    return found;
  } catch (error) {
    const kept = error instanceof UnreachableError ? await cache?.text(url) : undefined;
    if (kept === undefined) throw error;
    return kept;
  }
}

async function askText(url: string, options: WebFileOptions): Promise<string | Missing> {
  const response = await ask(url, options);
  if (response instanceof Missing) return response;
  const text = await response.text().catch((error: unknown) => {
    throw brokenError(url, error);
  });
  if (isPage(response, text)) return new Missing('a web page');
  return text.trim() === '' ? new Missing('an empty answer') : text;
}

/**
 * A large file: from the cache, or through few long requests. If the server supports no ranges, or does not state the
 * size, the whole file is read into memory.
 *
 * @throws CheckpointError if the server cannot be reached, or fails
 */
export async function findUrlSource(
  url: string,
  options: WebFileOptions = {},
): Promise<ByteSource | Missing> {
  const cached = await options.cache?.open(url, options);
  return cached ?? retryBroken(options, () => openUrl(url, options));
}

async function openUrl(url: string, options: WebFileOptions): Promise<ByteSource | Missing> {
  const headers = { ...PLAIN, range: 'bytes=0-' };
  const response = await ask(url, options, headers, { cache: 'no-store' });
  if (response instanceof Missing) return response;
  const { size } = extentOf(response, 0);
  if (response.status !== 206 || size === undefined) return readWhole(url, response, options);
  const reader = response.body?.getReader();
  const begin = await reader?.read().catch((error: unknown) => {
    throw brokenError(url, error);
  });
  const rest = begin?.value ?? new Uint8Array(0);
  if (isPage(response, startOf(rest))) {
    await reader?.cancel();
    return new Missing('a web page');
  }
  const validator = validatorOf(response);
  return new StreamedFile(url, size, validator, options, reader && { reader, rest });
}

/** Like findUrlSource, for a required file. @throws CheckpointError */
export async function urlSource(url: string, options: WebFileOptions = {}): Promise<ByteSource> {
  const source = await findUrlSource(url, options);
  if (source instanceof Missing) {
    throw new CheckpointError(`${shownUrl(url)}: expected a file, found ${source.why}`);
  }
  return source;
}

function startOf(bytes: Uint8Array): string {
  return new TextDecoder('latin1').decode(bytes.subarray(0, 100));
}

/** A body's bytes between two blobs: a browser may keep those on its disk. */
const PART_BYTES = 1 << 26;

async function readWhole(
  url: string,
  response: Response,
  { onNotice, onProgress }: WebFileOptions,
): Promise<ByteSource | Missing> {
  const name = shownUrl(url);
  const { size: totalBytes = 0 } = extentOf(response, 0);
  const size = totalBytes > 1e7 ? ` (${Math.round(totalBytes / 1e6)} MB)` : '';
  if (size !== '')
    onNotice?.(`${name}: the server does not support ranges; reading the whole file${size}`);
  const blobs: Blob[] = [];
  let parts: Uint8Array<ArrayBuffer>[] = [];
  let [bytes, total] = [0, 0];
  try {
    const reader = response.body?.getReader();
    for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
      parts.push(new Uint8Array(read.value));
      bytes += read.value.byteLength;
      total += read.value.byteLength;
      onProgress?.({ file: name.replace(/.*\//, ''), bytes: total, totalBytes });
      if (bytes < PART_BYTES) continue;
      blobs.push(new Blob(parts));
      parts = [];
      bytes = 0;
    }
  } catch (error) {
    throw brokenError(url, error);
  }
  const blob = new Blob([...blobs, ...parts]);
  if (isPage(response, await blob.slice(0, 100).text())) return new Missing('a web page');
  return blobSource(blob, name);
}
