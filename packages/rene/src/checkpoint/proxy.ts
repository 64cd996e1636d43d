// HTTP proxies from the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY. Node only.
import { BlockList, isIP } from 'node:net';
import type { Dispatcher } from 'undici';
import { HubError } from '../errors.js';
import { basicAuthorization } from './basic_authorization.js';
import type { Environment } from './expand_path.js';

/**
 * The proxy for a URL. Lower-case names win, as in curl and Python; a proxy without a scheme is an http
 * proxy.
 *
 * @throws HubError if the variable is not an http(s) URL
 */
export function proxyFor(url: string, env: Environment = process.env): URL | undefined {
  const target = new URL(url);
  const variable = `${target.protocol.slice(0, -1)}_proxy`;
  const names = [variable, variable.toUpperCase(), 'all_proxy', 'ALL_PROXY'];
  const name = names.find((each) => env[each] !== undefined);
  const value = name === undefined ? '' : (env[name] ?? '').trim();
  if (value === '' || isExempt(target, env.no_proxy ?? env.NO_PROXY ?? '')) return undefined;
  const text = /^[a-z][a-z\d+.-]*:\/\//i.test(value) ? value : `http://${value}`;
  const proxy = URL.canParse(text) ? new URL(text) : undefined;
  if (proxy?.protocol === 'http:' || proxy?.protocol === 'https:') return proxy;
  // The value may contain a password.
  const found = proxy ? `one that begins with '${proxy.protocol}//'` : 'no URL';
  throw new HubError(`${name}: expected the http(s) URL of a proxy, found ${found}`);
}

/** Whether NO_PROXY matches a host: its name, a parent domain, an address range, or '*'. */
function isExempt({ hostname, port, protocol }: URL, list: string): boolean {
  const host = bare(hostname);
  const ownPort = port || (protocol === 'https:' ? '443' : '80');
  return list.split(/[\s,]+/).some((entry) => {
    if (entry === '*') return true;
    const [, name = '', wantedPort = ownPort] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? [
      entry,
      entry,
    ];
    if (name === '' || wantedPort !== ownPort) return false;
    if (isIP(host)) return coversAddress(bare(name), host);
    const domain = name.toLowerCase().replace(/^\*?\.|\.$/g, '');
    return domain !== '' && (host === domain || host.endsWith(`.${domain}`));
  });
}

/** Whether an address, or a range such as 10.0.0.0/8, holds an address. */
function coversAddress(range: string, address: string): boolean {
  const [first = '', bits, ...others] = range.split('/');
  const version = isIP(first);
  if (version === 0 || others.length > 0) return false;
  const all = version === 4 ? 32 : 128;
  const prefix = bits === undefined ? all : Number(bits);
  if (!Number.isInteger(prefix) || prefix < 0 || prefix > all) return false;
  const block = new BlockList();
  block.addSubnet(first, prefix, version === 4 ? 'ipv4' : 'ipv6');
  return block.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6');
}

/** A host in lower case, without the brackets of an IPv6 address and the dot of a full name. */
function bare(host: string): string {
  return host.toLowerCase().replace(/^\[|\]$|\.$/g, '');
}

const agents = new Map<string, Dispatcher>();

/**
 * fetch through the URL's proxy, if any. https is tunnelled: the proxy sees the host's name, not the
 * request.
 */
export async function proxiedFetch(url: string, init: RequestInit = {}): Promise<Response> {
  const proxy = proxyFor(url);
  if (!proxy) return fetch(url, init);
  const undici = await import('undici');
  let dispatcher = agents.get(proxy.href);
  if (!dispatcher) {
    const token = basicAuthorization(proxy);
    // Proxies usually tunnel to port 443 only, so http requests are sent to the proxy itself.
    const options = { uri: proxy.origin, proxyTunnel: false };
    dispatcher = new undici.ProxyAgent(token === undefined ? options : { ...options, token });
    agents.set(proxy.href, dispatcher);
  }
  return undici.fetch(url, { ...init, dispatcher });
}
