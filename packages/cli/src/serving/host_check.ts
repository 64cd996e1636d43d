// Refuses requests for another host name on a loopback address.
//
// A web page can point its own name to 127.0.0.1 (DNS rebinding) and would then read the answers of a
// server that has no key. Its requests carry that name in the Host header.
import { isIP } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { ApiError, badRequest } from './api_error.js';

/** @param allowed host names that are accepted besides localhost and IP addresses; '*' for any */
export function checkHost(app: FastifyInstance, allowed: readonly string[]): void {
  const names = new Set(allowed.map((name) => name.toLowerCase()));
  let isPublic = false;
  app.addHook('onListen', async () => {
    isPublic = app.addresses().some((address) => !isLoopback(address));
  });
  app.addHook('onRequest', async ({ headers: { host }, raw }) => {
    if (host === undefined && raw.httpVersion === '1.1') {
      throw badRequest('the header Host is missing');
    }
    if (isPublic || host === undefined || names.has('*')) return;
    const name = hostName(host);
    if (name !== undefined && (isLocalName(name) || names.has(name))) return;
    throw new ApiError(
      403,
      `the host ${JSON.stringify(host)} is not allowed: a server on a loopback address without an API key ` +
        'answers localhost and IP addresses only; allow others with --allowed-hosts',
      'invalid_request_error',
      null,
      'host_not_allowed',
    );
  });
}

/** The host without the port; undefined if no browser would send it. */
function hostName(host: string): string | undefined {
  const url = /^[^\s/?#@\\]+$/.test(host) && URL.canParse(`http://${host}`);
  return url ? new URL(`http://${host}`).hostname.replace(/\.$/, '') : undefined;
}

/** An IP address is not a name, so a page cannot redirect it. */
function isLocalName(name: string): boolean {
  if (name === 'localhost' || name.endsWith('.localhost')) return true;
  return isIP(name.replace(/^\[|\]$/g, '')) > 0;
}

function isLoopback(address: { address: string } | string): boolean {
  if (typeof address === 'string') return true; // a Unix socket
  return address.address === '::1' || /^(::ffff:)?127\./.test(address.address);
}
