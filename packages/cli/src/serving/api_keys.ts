// API keys: access control and identification of clients.
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIPv6 } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from './api_error.js';

/** Routes for load balancers. */
const PUBLIC: ReadonlySet<string | undefined> = new Set(['/health', '/ping']);

/** Clients must send one of these as a bearer token. */
export class ApiKeys {
  private readonly digests: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.digests = keys.map(digest);
  }

  /** Refuses requests without a key, except for /health, /ping and CORS preflights. */
  require(app: FastifyInstance): void {
    app.addHook('onRequest', async (request) => {
      if (PUBLIC.has(request.routeOptions.url) || request.method === 'OPTIONS') return;
      if (this.indexOf(request) >= 0) return;
      throw new ApiError(
        401,
        'the API key is missing or wrong; send it as Authorization: Bearer KEY',
        'authentication_error',
        null,
        'invalid_api_key',
      );
    });
  }

  /** The client of a request: its key if there are several, else its address. */
  clientOf(request: FastifyRequest): string {
    return this.digests.length > 1 ? `key ${this.indexOf(request)}` : network(request.ip);
  }

  /** Compares digests, so that timing reveals nothing about the key. */
  private indexOf({ headers }: FastifyRequest): number {
    const [, key = ''] = /^bearer +(.*)$/i.exec(headers.authorization ?? '') ?? [];
    const sent = digest(key);
    return this.digests.reduce((found, known, i) => (timingSafeEqual(sent, known) ? i : found), -1);
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** An address; for IPv6 its /64 prefix, which usually belongs to one machine. */
export function network(address: string): string {
  const v4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (v4 !== undefined || !isIPv6(address)) return v4 ?? address;
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array<string>(8 - left.length - right.length).fill('0');
  const groups = [...left, ...zeros, ...right].slice(0, 4);
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}
