// HTTP over a bare socket, for requests that no client library would send.
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: string;
}

/** Sends text to a server and reads until it closes the connection. @returns undefined for no answer */
export function sendRaw(url: string, text: string): Promise<RawAnswer | undefined> {
  const socket = openRaw(url, text);
  let received = '';
  socket.setEncoding('utf8').on('data', (data) => {
    received += data;
  });
  return new Promise((resolve) => socket.once('close', () => resolve(parse(received))));
}

/** A connection on which some text was sent. */
export function openRaw(url: string, text: string): Socket {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname, () => socket.write(text));
  return socket.on('error', () => {});
}

/** A request for one completion. */
export function rawCompletion(body: object): string {
  const json = JSON.stringify(body);
  const head = 'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json';
  return `${head}\r\nContent-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`;
}

function parse(received: string): RawAnswer | undefined {
  const [head = '', body = ''] = received.split('\r\n\r\n');
  const [first = '', ...lines] = head.split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(first)?.[1]);
  if (!status) return undefined;
  const headers = lines
    .map((line) => line.split(/: */, 2))
    .map(([k = '', v = '']) => [k.toLowerCase(), v]);
  return { status, headers: Object.fromEntries(headers), body };
}
