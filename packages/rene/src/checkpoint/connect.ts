// Whether a server, or the proxy before it, accepts connections.
import { once } from 'node:events';
import { connect } from 'node:net';
import { anySignal } from '../any_signal.js';
import { proxyFor } from './proxy.js';

/**
 * Opens a connection to the server of a URL, or to its proxy, and closes it. fetch gives up only after 10 s
 * and keeps the process running until then.
 *
 * @param ms timeout in milliseconds
 */
export async function checkConnection(
  url: string,
  ms: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const proxy = proxyFor(url);
  if (!proxy && hasOwnDispatcher()) return;
  const { hostname, port, protocol } = proxy ?? new URL(url);
  const socket = connect({
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port) || (protocol === 'https:' ? 443 : 80),
    autoSelectFamilyAttemptTimeout: Math.max(10, Math.round(ms / 2)),
  });
  // Ignore an error after the timeout.
  socket.on('error', () => {});
  const timeout = AbortSignal.timeout(ms);
  try {
    await once(socket, 'connect', {
      signal: signal ? anySignal([timeout, signal]) : timeout,
    });
  } catch (error) {
    if (timeout.aborted) throw new Error(`no connection after ${(ms / 1000).toFixed(1)} s`);
    throw error;
  } finally {
    socket.destroy();
  }
}

/**
 * Whether the program has configured its own transport (undici's setGlobalDispatcher), such as a proxy or a
 * mock.
 */
function hasOwnDispatcher(): boolean {
  const dispatcher: unknown = Reflect.get(globalThis, Symbol.for('undici.globalDispatcher.1'));
  if (typeof dispatcher !== 'object' || dispatcher === null) return false;
  return dispatcher.constructor.name !== 'Agent';
}
