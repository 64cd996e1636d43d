// Downloads a file: resumes earlier downloads, retries broken connections, and checks the content before
// renaming.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HubError } from '../errors.js';
import { bodyOf, type RequestOptions, STALL_MS, send } from './http.js';
import { makeFolder } from './make_folder.js';
import { TransientError, withRetries } from './retries.js';

/** A file on a server, with the size and hash that the server states. */
export interface RemoteFile {
  readonly url: string;
  /** Bytes. */
  readonly size: number | undefined;
  /** SHA-256 or git hash (40 digits) of the content, in lower case. */
  readonly hash: string | undefined;
}

/**
 * Downloads a file. Resumes from `partial`.
 *
 * @param partial file with the bytes downloaded so far
 * @param target the path for a file of that hash: the server's, else the content's SHA-256
 * @param onBytes called with the number of bytes on disk
 * @returns the hash
 * @throws HubError; the downloaded bytes are kept unless their content is wrong
 */
export async function downloadFile(
  file: RemoteFile,
  partial: string,
  target: (hash: string) => string,
  options: RequestOptions,
  onBytes: (bytes: number) => void = () => {},
): Promise<string> {
  makeFolder(dirname(partial));
  for (let attempt = 1; ; attempt++) {
    await withRetries(options, () => fetchRest(file, partial, options, onBytes), {
      progress: () => sizeOfFile(partial),
    });
    const hash = await hashOf(partial, file);
    if (hash !== undefined) {
      await rename(partial, target(hash));
      return hash;
    }
    await rm(partial, { force: true });
    if (attempt < 2) continue;
    throw new HubError(
      `${file.url}: the received file does not match the hub's metadata (${promised(file)}) after two attempts`,
    );
  }
}

function promised({ hash, size }: RemoteFile): string {
  return hash === undefined ? `${size} bytes` : `checksum ${hash}`;
}

/** Appends the missing bytes of a file. */
async function fetchRest(
  { url, size, hash }: RemoteFile,
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
    const { response } = await send(url, options, {
      headers: have > 0 ? { range: `bytes=${have}-` } : {},
      signal: stall.signal,
      isUsable: (answer) => answer.response.status === 416,
    });
    if (response.status === 416) {
      await handle.truncate(0);
      throw new TransientError(`${url}: the server does not support resuming`, 0);
    }
    if (hash === undefined && /^text\/html\b/i.test(response.headers.get('content-type') ?? '')) {
      throw new HubError(
        `${url}: expected a file, found a web page; does the network need a login?`,
      );
    }
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

async function sizeOfFile(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** The hash of the content; undefined if it differs from the server's. */
async function hashOf(path: string, { hash, size }: RemoteFile): Promise<string | undefined> {
  const found = await sizeOfFile(path);
  const sha256 = createHash('sha256');
  const git = createHash('sha1').update(`blob ${found}\0`);
  const sha1 = createHash('sha1');
  const hashes = hash?.length === 40 ? [git, sha1] : [sha256];
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    for (const each of hashes) each.update(chunk);
  }
  const digests = hashes.map((each) => each.digest('hex'));
  if (hash !== undefined) return digests.includes(hash) ? hash : undefined;
  return size === undefined || size === found ? digests[0] : undefined;
}
