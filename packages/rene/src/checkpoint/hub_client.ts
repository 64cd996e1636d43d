// Queries the Hugging Face hub about a repository of models or data sets.
import { HubError } from '../errors.js';
import { asRecord } from '../json.js';
import { basicAuthorization } from './basic_authorization.js';
import type { RemoteFile } from './download.js';
import { firstJson, type RequestOptions, send } from './http.js';
import { isCommit, type RepoKind } from './hub_cache.js';
import { cleanToken, isSet, savedToken } from './hub_token.js';
import type { Answer } from './redirects.js';
import { withRetries } from './retries.js';

/** Options of access to the hub. Defaults come from the environment variables of Python's client. */
export interface HubClientOptions {
  /** Default: HF_TOKEN or HUGGING_FACE_HUB_TOKEN, else the token that `hf auth login` saved. */
  token?: string | undefined;
  /** Default: HF_ENDPOINT, else https://huggingface.co. */
  endpoint?: string | undefined;
  /** Default: HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub. */
  cacheDir?: string | undefined;
  /** Use the cache only. Default: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE. */
  offline?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds before the first retry; doubled each time. Default: 1000. */
  retryDelay?: number | undefined;
  /**
   * Milliseconds without data after which a connection counts as broken. Default: HF_HUB_DOWNLOAD_TIMEOUT
   * (in seconds), else 30,000.
   */
  timeout?: number | undefined;
  /** Called with notices, such as a wait that the hub requests. */
  onNotice?: ((notice: string) => void) | undefined;
}

/** The files of a repository at a revision. */
export interface Listing {
  readonly commit: string;
  readonly files: readonly string[];
}

/** Requests about one repository. The options are also those of downloads from it. */
export interface HubClient extends RequestOptions {
  readonly repo: string;
  list(revision: string, maxTries?: number): Promise<Listing>;
  /** A file's address, size and checksum. */
  head(commit: string, name: string): Promise<RemoteFile>;
}

/** @param kind as in the hub's URLs and the cache's folder names */
export async function hubClient(
  kind: RepoKind,
  repo: string,
  options: HubClientOptions,
): Promise<HubClient> {
  const { endpoint, authorization: login } = endpointOf(options);
  const value = login ?? (await bearer(options));
  const headers = {
    // Sizes and ranges must be those of the uncompressed file.
    'accept-encoding': 'identity',
    'user-agent': 'rene-js',
  };
  const { signal, retryDelay, onNotice, timeout = timeoutFromEnvironment() } = options;
  const authorization =
    value === undefined ? undefined : { origin: new URL(endpoint).origin, value };
  const shared = { headers, authorization, signal, retryDelay, onNotice, timeout };
  const files = `${endpoint}/${kind === 'models' ? '' : `${kind}/`}${repo}/resolve`;
  return {
    ...shared,
    repo,
    async list(revision, maxTries) {
      const url = `${endpoint}/api/${kind}/${repo}/revision/${encodeURIComponent(revision)}`;
      return readListing(await firstJson(url, shared, maxTries), url);
    },
    async head(commit, name) {
      const path = name.split('/').map(encodeURIComponent).join('/');
      return headOf(`${files}/${commit}/${path}`, shared);
    },
  };
}

/** The hub's URL without a trailing slash, and the login in it. */
function endpointOf(options: HubClientOptions): { endpoint: string; authorization?: string } {
  const given = options.endpoint ?? (process.env.HF_ENDPOINT || 'https://huggingface.co');
  const text = given.trim();
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    const shown = text.replace(/\/\/[^/]*@/, '//...@');
    throw new HubError(
      `HF_ENDPOINT: expected the http(s) URL of a hub, such as https://huggingface.co; found '${shown}'`,
    );
  }
  const authorization = basicAuthorization(url);
  const endpoint = url.origin + url.pathname.replace(/\/+$/, '');
  return authorization === undefined ? { endpoint } : { endpoint, authorization };
}

async function bearer({ token }: HubClientOptions): Promise<string | undefined> {
  const clean = token === undefined ? await savedToken() : cleanToken(token, 'token');
  return clean === undefined ? undefined : `Bearer ${clean}`;
}

/** Whether to use the cache only. */
export function isOffline({ offline }: HubClientOptions): boolean {
  return offline ?? isSet(process.env.HF_HUB_OFFLINE || process.env.TRANSFORMERS_OFFLINE);
}

function timeoutFromEnvironment(): number | undefined {
  const seconds = Number(process.env.HF_HUB_DOWNLOAD_TIMEOUT);
  return seconds > 0 ? seconds * 1000 : undefined;
}

function readListing(json: unknown, url: string): Listing {
  const { sha, siblings } = asRecord(json) ?? {};
  if (typeof sha !== 'string' || !isCommit(sha) || !Array.isArray(siblings)) {
    throw new HubError(`${url}: the response is not from a Hugging Face hub`);
  }
  const names = siblings.map((file: unknown) => asRecord(file)?.rfilename);
  return { commit: sha, files: names.filter((name) => typeof name === 'string') };
}

/** Requests a file's size and checksum, which are in the hub's headers before its redirect. */
async function headOf(url: string, options: RequestOptions): Promise<RemoteFile> {
  const isOnHub = (answer: Answer) => new URL(answer.url).origin === new URL(url).origin;
  const answer = await withRetries(options, () =>
    send(url, options, {
      method: 'HEAD',
      // A renamed repository redirects within the hub; a large file to a storage server.
      isFinal: ({ headers }) => headers.has('x-linked-etag'),
      // Some servers do not support HEAD, nor do URLs that are signed for GET.
      isUsable: (refusal) => {
        const { status } = refusal.response;
        return status === 405 || status === 501 || (status < 500 && !isOnHub(refusal));
      },
    }),
  );
  const { headers, status } = answer.response;
  return {
    // The storage server's URL may expire, so each download asks the hub again.
    url: isOnHub(answer) ? answer.url : url,
    size: status < 400 ? sizeIn(headers, status) : undefined,
    hash: status < 400 ? hashIn(headers) : undefined,
  };
}

function sizeIn(headers: Headers, status: number): number | undefined {
  const linked = headers.get('x-linked-size');
  // The Content-Length of a redirect or of compressed content is not the file's size.
  const isOwn = status === 200 && !headers.has('content-encoding');
  const size = Number(linked ?? (isOwn ? headers.get('content-length') : undefined));
  return Number.isSafeInteger(size) && size > 0 ? size : undefined;
}

/** The content's hash, which is the hub's ETag. Other servers' ETags are not hashes. */
function hashIn(headers: Headers): string | undefined {
  const own = headers.has('x-repo-commit') ? headers.get('etag') : undefined;
  const etag = headers.get('x-linked-etag') ?? own ?? '';
  return /^(?:W\/)?"?([0-9a-f]{40}|[0-9a-f]{64})"?$/i.exec(etag.trim())?.[1]?.toLowerCase();
}
