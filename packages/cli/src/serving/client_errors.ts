// Answers requests that are not HTTP, too large or too slow, in the API's error format.
import { randomUUID } from 'node:crypto';
import {
  type IncomingMessage,
  maxHeaderSize,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { Socket } from 'node:net';
import { ApiError } from './api_error.js';

/** Number of answers in progress on each connection. */
const answers = new WeakMap<object, Set<ServerResponse>>();

/** Counts the answers in progress of a server. */
export function watchAnswers(server: Server): void {
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const open = answers.get(socket) ?? new Set();
    answers.set(socket, open.add(response));
    response.once('close', () => open.delete(response));
  });
  // Node would answer 417 without a body. HTTP allows servers to ignore an unknown expectation.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
}

/** The response to a request that the parser rejects. Fastify's clientErrorHandler. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return;
  if ([...(answers.get(socket) ?? [])].some(({ headersSent }) => headersSent)) {
    socket.destroy(); // not into an answer that has begun
    return;
  }
  const apiError = toApiError(error);
  const body = JSON.stringify(apiError);
  const headers = {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'x-request-id': `req-${randomUUID()}`,
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const status = `HTTP/1.1 ${apiError.statusCode} ${STATUS_CODES[apiError.statusCode]}\r\n`;
  // Closes a little later: closing at once would reset the connection before the client reads the response.
  socket.end(`${status}${lines.join('')}\r\n${body}`, () => {
    setTimeout(() => socket.destroy(), LINGER).unref();
  });
}

const LINGER = 500;

function toApiError({ code, message }: NodeJS.ErrnoException): ApiError {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new ApiError(408, 'the request took too long to arrive');
    case 'HPE_HEADER_OVERFLOW':
      return new ApiError(431, `the URL and the headers take more than ${maxHeaderSize} bytes`);
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new ApiError(413, 'the chunk extensions are too large');
    default:
      return new ApiError(400, `not an HTTP request: ${message}`);
  }
}
