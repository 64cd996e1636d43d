// Whether a server, or the proxy before it, takes connections.
import { once } from 'node:events';
import { connect } from 'node:net';
import { anySignal } from '../any_signal.js';
import { proxyFor } from './proxy.js';

/**
 * Opens a connection to the server of a URL or to its proxy, and closes it. fetch itself gives up only
 * after 10 s, and keeps the process running until then.
 *
 * @param ms milliseconds after which there counts as none
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
  // A refusal after the time is over is no news.
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

/** Whether the program has its own way to servers (undici's setGlobalDispatcher): a proxy, a mock. */
function hasOwnDispatcher(): boolean {
  const dispatcher: unknown = Reflect.get(globalThis, Symbol.for('undici.globalDispatcher.1'));
  if (typeof dispatcher !== 'object' || dispatcher === null) return false;
  return dispatcher.constructor.name !== 'Agent';
}
