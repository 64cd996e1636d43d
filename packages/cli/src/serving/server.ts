// The HTTP server and what its routes share.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import cors from '@fastify/cors';
import { TokenizerError } from '@rene-js/rene';
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import { ApiError, badRequest } from './api_error.js';
import { ApiKeys } from './api_keys.js';
import { answerClientError, watchAnswers } from './client_errors.js';
import { addCompletionRoutes } from './completion_route.js';
import { checkHost } from './host_check.js';
import { addInfoRoutes } from './info_routes.js';
import type { Engine } from './job.js';
import { Metrics } from './metrics.js';
import type { ServerOptions } from './server_options.js';
import { LONG_ANSWER, SlowReaders } from './slow_readers.js';
import { addTokenRoutes } from './token_routes.js';
import { atOnce, TokenizerThreadError } from './tokenizer_thread.js';

/** A server that is not yet listening: `await server.listen({ port })`, `await server.close()`. */
export function createServer(options: ServerOptions): FastifyInstance {
  const { log = false, bodyLimit = 4 * 1024 * 1024, onError = () => {} } = options;
  const { headersTimeout = 20_000, requestTimeout = 60_000 } = options;
  const answer = (error: FastifyError | ApiError, _: FastifyRequest, reply: FastifyReply) => {
    const apiError = toApiError(error, bodyLimit);
    if (apiError.statusCode === 500) onError(error);
    if (apiError.statusCode === 429 || apiError.statusCode === 503)
      void reply.header('retry-after', '1');
    void reply.code(apiError.statusCode).send(apiError.toJSON());
  };
  const app = fastify({
    bodyLimit,
    logger: log && { level: 'info', stream: process.stderr },
    // logRequests writes one line per request, not two.
    logController: new LogController({ disableRequestLogging: true }),
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, allErrors: false } },
    requestTimeout,
    http: {
      headersTimeout: Math.min(headersTimeout, requestTimeout),
      connectionsCheckingInterval: Math.min(5000, Math.ceil(headersTimeout / 4)),
      requireHostHeader: false, // checkHost says it in OpenAI's form
    },
    genReqId: requestId,
    rewriteUrl: ({ url = '' }) => withVersion(url),
    return503OnClosing: false, // refuseWhenClosing says it in OpenAI's form
    forceCloseConnections: 'idle',
    frameworkErrors: answer,
    clientErrorHandler: answerClientError,
  });
  const slowReaders = new SlowReaders({
    writeTimeout: options.writeTimeout ?? 30_000,
    maxUnsent: options.maxUnsent ?? 256 * 1024 * 1024,
  });
  slowReaders.watch(app.server);
  watchAnswers(app.server);
  app.setErrorHandler(answer);
  app.setNotFoundHandler((request) => {
    throw notFound(request);
  });
  app.addHook('onSend', async ({ raw }, reply, payload) => {
    if (typeof payload !== 'string' || payload.length < LONG_ANSWER) return payload;
    const body = Buffer.from(payload);
    void reply.header('content-length', body.length);
    return slowReaders.stream(raw.socket, [body]);
  });
  app.addHook('onRequest', async ({ id }, reply) => void reply.header('x-request-id', id));
  app.addHook('onRequest', refuseEncodedBody);
  if (log) logRequests(app);
  const { apiKey, corsOrigins = [], allowedHosts = [] } = options;
  const keys = typeof apiKey === 'string' ? [apiKey] : (apiKey ?? []);
  const apiKeys = new ApiKeys(keys);
  checkHost(app, keys.length > 0 ? ['*'] : allowedHosts);
  if (corsOrigins.length > 0) allowOrigins(app, corsOrigins);
  // After the CORS headers, so that pages can read these errors.
  app.after(() => {
    refuseWhenClosing(app);
    if (keys.length > 0) apiKeys.require(app);
  });
  const { encoder = atOnce(options.tokenizer), maxLength = 4096, maxWaiting = 256 } = options;
  const metrics = new Metrics();
  const engine = metrics.count(options.engine);
  const load = () => options.pool?.loadWith(engine.load()) ?? engine.load();
  metrics.watchLoad(load);
  const shared = { apiKeys, slowReaders, countEngine: (other: Engine) => metrics.count(other) };
  const context = { ...options, engine, load, encoder, maxLength, maxWaiting, ...shared };
  metrics.addTo(app);
  addInfoRoutes(app, context);
  addTokenRoutes(app, context);
  addCompletionRoutes(app, context);
  return app;
}

async function refuseEncodedBody({ headers }: FastifyRequest, reply: FastifyReply): Promise<void> {
  const encoding = headers['content-encoding']?.trim().toLowerCase() ?? '';
  if (encoding === '' || encoding === 'identity') return;
  void reply.header('accept-encoding', 'identity'); // what RFC 9110 has a server say
  throw new ApiError(415, 'send the body without Content-Encoding: it is not decompressed here');
}

/** Clients have the base URL with or without `/v1`. */
function withVersion(url: string): string {
  return /^\/(chat\/completions|completions|models)(?=[/?]|$)/.test(url) ? `/v1${url}` : url;
}

/** The client's request id, if it is a valid header value, else a random one. */
function requestId({ headers }: Pick<IncomingMessage, 'headers'>): string {
  const own = headers['x-request-id'];
  return typeof own === 'string' && /^[!-~]{1,128}$/.test(own) ? own : `req-${randomUUID()}`;
}

function allowOrigins(app: FastifyInstance, origins: readonly string[]): void {
  void app.register(cors, {
    origin: origins.includes('*') ? '*' : [...origins],
    exposedHeaders: ['x-request-id', 'retry-after'],
    maxAge: 600,
  });
}

function toApiError(error: FastifyError | ApiError | TokenizerError, bodyLimit: number): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof TokenizerThreadError)
    return new ApiError(500, error.message, 'server_error');
  if (error instanceof TokenizerError) return badRequest(`prompt: ${error.message}`, 'prompt');
  if (error.validation) {
    const [first] = error.validation;
    const param = first?.instancePath.split('/')[1] ?? null;
    const expected = KINDS.get(param ?? '') ?? withArticle(first?.message ?? 'is not valid');
    return badRequest(`${param ?? 'the request body'} ${expected}`, param);
  }
  const { statusCode = 500 } = error;
  if (statusCode === 413) {
    return new ApiError(413, `the request is too large: expected at most ${bodyLimit} bytes`);
  }
  if (statusCode === 415) {
    return new ApiError(415, 'send JSON, with the header Content-Type: application/json');
  }
  if (NO_JSON.has(error.code)) {
    return badRequest('the request body is not valid JSON: expected an object, {"prompt": "..."}');
  }
  if (statusCode < 500) return new ApiError(statusCode, error.message);
  return new ApiError(500, 'internal server error', 'server_error');
}

/** Fastify's codes of an empty body and of one that JSON.parse refuses. */
const NO_JSON: ReadonlySet<string | undefined> = new Set([
  'FST_ERR_CTP_EMPTY_JSON_BODY',
  'FST_ERR_CTP_INVALID_JSON_BODY',
]);

/** 'must be number' of the validator with its article. */
function withArticle(expected: string): string {
  return expected
    .replace(/^must be (?=(?:integer|array|object)$)/, '$&an ')
    .replace(/^must be (?=(?:number|string|boolean)$)/, '$&a ');
}

const STOP = 'must be a text, or a list of at most 16 texts, of at most 1000 characters each';

/** Descriptions of fields with several types. */
const KINDS: ReadonlyMap<string, string> = new Map([
  ['prompt', 'must be a text, a list of texts, token ids, or a list of such lists'],
  ['stop', STOP],
  ['stop_sequences', STOP],
  ['messages', 'must be a list of messages, each with a role and a content'],
]);

function notFound({ method, url, headers }: FastifyRequest): ApiError {
  const [path = url] = url.split('?');
  if (method === 'OPTIONS' && headers.origin !== undefined) {
    return new ApiError(
      404,
      `pages of ${headers.origin} may not ask: start the server with --cors-origin`,
    );
  }
  const message = NOT_HERE[path] ?? `this server has ${ROUTES}`;
  return new ApiError(404, `there is no ${method} ${path}: ${message}`);
}

const ROUTES =
  'POST /v1/completions, POST /v1/chat/completions, GET /v1/models, GET /health, GET /ping, GET /version, GET /props, ' +
  'GET /metrics, POST /tokenize, POST /detokenize and GET /tokenizer_info';

/** Routes of OpenAI's API that this server does not have. */
const NOT_HERE: Readonly<Record<string, string>> = {
  '/v1/responses': 'POST /v1/chat/completions with messages, or /v1/completions with a prompt',
  '/v1/embeddings': 'the model continues text and makes no embeddings; POST /v1/completions',
};

function logRequests(app: FastifyInstance): void {
  app.addHook('onResponse', async ({ method, url, ip, log }, { statusCode, elapsedTime }) => {
    log.info({ method, url, ip, status: statusCode, ms: Math.round(elapsedTime) });
  });
}

/** Finishes requests in progress and refuses new ones on open connections. */
function refuseWhenClosing(app: FastifyInstance): void {
  let isClosing = false;
  app.addHook('preClose', async () => {
    isClosing = true;
  });
  app.addHook('onRequest', async (_, reply) => {
    if (!isClosing) return;
    void reply.header('connection', 'close');
    throw new ApiError(503, 'the server is shutting down', 'server_error');
  });
  // Kept-alive connections would keep the server from ending.
  app.addHook('onResponse', async () => {
    if (isClosing) setImmediate(() => app.server.closeIdleConnections());
  });
}
