// Downloads one file of a repository into the cache.
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { downloadFile, type RemoteFile } from './download.js';
import type { RepoCache } from './hub_cache.js';
import type { HubClient } from './hub_client.js';
import { withLock } from './lock.js';
import { makeFolder } from './make_folder.js';
import { fileExists } from './node_files.js';

/**
 * Downloads a file of a commit into the cache, unless its content is there already. If the server states no
 * hash of the content, the blob is named by the SHA-256 of the received bytes.
 *
 * @param report called with the number of the file's bytes on disk
 * @returns the file's path in the commit's snapshot
 * @throws HubError
 */
export async function fetchFile(
  cache: RepoCache,
  client: HubClient,
  commit: string,
  name: string,
  file: RemoteFile,
  report: (bytes: number) => void = () => {},
): Promise<string> {
  const path = join(cache.snapshot(commit), name);
  const blob = await fetchBlob(cache, client, file, `${commit}/${name}`, path, report);
  if (blob !== undefined) await cache.link(commit, name, blob);
  return path;
}

/** @returns the name of the content's blob; undefined if another process has linked it */
async function fetchBlob(
  cache: RepoCache,
  client: HubClient,
  file: RemoteFile,
  id: string,
  path: string,
  report: (bytes: number) => void,
): Promise<string | undefined> {
  const { hash, size } = file;
  const isHere = async () => hash !== undefined && (await fileExists(cache.blob(hash)));
  if (await isHere()) {
    report(size ?? 0);
    return hash;
  }
  const partial = `${cache.blob(hash ?? sha256Of(id))}.incomplete`;
  const onWait = (pid: number | undefined) => {
    const owner = pid === undefined ? 'another process' : `process ${pid}`;
    client.onNotice?.(`${id}: waiting for ${owner}, which is downloading it`);
  };
  makeFolder(dirname(partial));
  return withLock(`${partial}.lock`, { signal: client.signal, onWait }, async () => {
    // Another process may have created it.
    if (await isHere()) return hash;
    if (hash === undefined && (await fileExists(path))) return undefined;
    return downloadFile(file, partial, (found) => cache.blob(found), client, report);
  });
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
