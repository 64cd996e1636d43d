// Asks the Hugging Face hub what a repository of models or documents holds.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HubError } from '../errors.js';
import { asRecord } from '../json.js';
import { type ExpectedFile, type RequestOptions, request, requestJson } from './download.js';
import { hubHome, isCommit, type RepoKind } from './hub_cache.js';

/** How to reach the hub. Each falls back to the environment variable that Python's client reads. */
export interface HubClientOptions {
  /** Default HF_TOKEN, else the token that `huggingface-cli login` saved. */
  token?: string | undefined;
  /** Default HF_ENDPOINT, else https://huggingface.co. */
  endpoint?: string | undefined;
  /** Default HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub. */
  cacheDir?: string | undefined;
  /** Use what is in the cache, and nothing else. Default HF_HUB_OFFLINE. */
  offline?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds before a failed request is tried again; doubled each time. Default 1000. */
  retryDelay?: number | undefined;
  /**
   * Milliseconds without a byte after which a connection counts as broken. Unless given, the seconds
   * of HF_HUB_DOWNLOAD_TIMEOUT, else 30,000.
   */
  timeout?: number | undefined;
}

/** What a repository holds at a revision. */
export interface Listing {
  readonly commit: string;
  readonly files: readonly string[];
}

/** Asks about one repository; its options are those of the downloads from there. */
export interface HubClient extends RequestOptions {
  list(revision: string, maxTries?: number): Promise<Listing>;
  /** A file's address, size and checksum. */
  head(commit: string, name: string): Promise<ExpectedFile>;
}

/** @param kind as the hub's addresses and the cache's folders spell it */
export async function hubClient(
  kind: RepoKind,
  repo: string,
  options: HubClientOptions,
): Promise<HubClient> {
  const endpoint = endpointOf(options);
  const token = options.token ?? (await savedToken());
  const headers: Record<string, string> = {
    // Sizes and ranges are those of the file itself.
    'accept-encoding': 'identity',
    'user-agent': 'rene-js',
  };
  const authorization = token
    ? { origin: new URL(endpoint).origin, value: `Bearer ${token}` }
    : undefined;
  const { signal, retryDelay, timeout = timeoutFromEnvironment() } = options;
  const shared = { headers, authorization, signal, retryDelay, timeout };
  const files = `${endpoint}/${kind === 'models' ? '' : `${kind}/`}${repo}/resolve`;
  return {
    ...shared,
    async list(revision, maxTries) {
      const url = `${endpoint}/api/${kind}/${repo}/revision/${encodeURIComponent(revision)}`;
      return readListing(await requestJson(url, { ...shared, maxTries }), url);
    },
    async head(commit, name) {
      const path = name.split('/').map(encodeURIComponent).join('/');
      return headOf(`${files}/${commit}/${path}`, shared);
    },
  };
}

function endpointOf(options: HubClientOptions): string {
  const given = options.endpoint ?? (process.env.HF_ENDPOINT || 'https://huggingface.co');
  const endpoint = given.trim().replace(/\/+$/, '');
  if (/^https?:\/\//i.test(endpoint) && URL.canParse(endpoint)) return endpoint;
  throw new HubError(
    `HF_ENDPOINT: expected the http(s) URL of a hub, such as https://huggingface.co; found '${endpoint}'`,
  );
}

/** Whether only the cache may be used. */
export function isOffline({ offline }: HubClientOptions): boolean {
  return offline ?? /^(1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? '');
}

function timeoutFromEnvironment(): number | undefined {
  const seconds = Number(process.env.HF_HUB_DOWNLOAD_TIMEOUT);
  return seconds > 0 ? seconds * 1000 : undefined;
}

async function savedToken(): Promise<string> {
  if (process.env.HF_TOKEN) return process.env.HF_TOKEN;
  const path = process.env.HF_TOKEN_PATH || join(hubHome(), 'token');
  return (await readFile(path, 'utf8').catch(() => '')).trim();
}

function readListing(json: unknown, url: string): Listing {
  const { sha, siblings } = asRecord(json) ?? {};
  if (typeof sha !== 'string' || !isCommit(sha) || !Array.isArray(siblings)) {
    throw new HubError(`${url}: the answer is not that of a Hugging Face hub`);
  }
  const names = siblings.map((file: unknown) => asRecord(file)?.rfilename);
  return { commit: sha, files: names.filter((name) => typeof name === 'string') };
}

/** Asks for a file's size and checksum, which the hub gives in headers before it redirects. */
async function headOf(url: string, options: RequestOptions): Promise<ExpectedFile> {
  // A renamed repository redirects within the hub; a large file to a storage server.
  const isFinal = ({ headers }: Response) => headers.has('x-linked-etag');
  const answer = await request(url, 'HEAD', { ...options, isFinal });
  const { headers } = answer.response;
  const given = headers.get('x-linked-etag') ?? headers.get('etag') ?? '';
  const etag = given.replace(/^W\//, '').replaceAll('"', '');
  if (!/^[\w-]{1,128}$/.test(etag)) throw new HubError(`${url}: the hub gave no usable ETag`);
  const size = Number(headers.get('x-linked-size') ?? headers.get('content-length') ?? Number.NaN);
  const isOnHub = new URL(answer.url).origin === new URL(url).origin;
  return {
    // The address of a storage server may expire: each download asks the hub again.
    url: isOnHub ? answer.url : url,
    etag,
    size: Number.isSafeInteger(size) ? size : undefined,
  };
}
