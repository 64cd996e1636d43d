// Follows HTTP redirects one at a time: a token is sent to its origin only, and https is never downgraded.
import { HubError } from '../errors.js';

/** An Authorization header and the only origin that receives it. */
export interface Authorization {
  /** In the form of `URL.origin`: `https://huggingface.co`. */
  readonly origin: string;
  readonly value: string;
}

export interface RedirectOptions {
  readonly authorization?: Authorization | undefined;
  /** Stops at a redirect for which this returns true. Default: never. */
  readonly isFinal?: ((response: Response) => boolean) | undefined;
}

/** A response and the URL that sent it. */
export interface Answer {
  readonly response: Response;
  readonly url: string;
}

const MAX_REDIRECTS = 10;
const REDIRECT_STATUSES = new Set([301, 302, 303, 307, 308]);

/**
 * Sends a GET or HEAD and follows its redirects.
 *
 * @param send makes one request; it must not follow redirects itself
 * @throws HubError for a redirect from https to http, to no http(s) URL, or after 10 redirects
 */
export async function followRedirects(
  url: string,
  headers: Readonly<Record<string, string>>,
  { authorization, isFinal = () => false }: RedirectOptions,
  send: (url: string, headers: Headers) => Promise<Response>,
): Promise<Answer> {
  let current = new URL(url);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const own = new Headers(headers);
    if (authorization?.origin === current.origin) own.set('authorization', authorization.value);
    const response = await send(current.href, own);
    if (!REDIRECT_STATUSES.has(response.status) || isFinal(response)) {
      return { response, url: current.href };
    }
    await response.body?.cancel();
    current = redirectTarget(current, response, url);
  }
  throw new HubError(`${url}: redirected more than ${MAX_REDIRECTS} times`);
}

function redirectTarget(from: URL, { status, headers }: Response, start: string): URL {
  const location = headers.get('location');
  if (location === null) throw new HubError(`${start}: HTTP ${status} without a Location`);
  // fetch decodes headers as Latin-1, but servers send UTF-8.
  const text = Buffer.from(location, 'latin1').toString('utf8');
  const target = URL.canParse(text, from.href) ? new URL(text, from) : undefined;
  if (target?.protocol !== 'https:' && target?.protocol !== 'http:') {
    throw new HubError(
      `${start}: ${from.origin} redirects to something that is not an http(s) URL`,
    );
  }
  if (from.protocol === 'https:' && target.protocol === 'http:') {
    throw new HubError(
      `${start}: ${from.origin} redirects to ${target.origin}, which is not encrypted; refused`,
    );
  }
  target.username = '';
  target.password = '';
  return target;
}
