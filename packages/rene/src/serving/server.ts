// The HTTP server: what every route shares. Completions, tokens and health are routes of their own.
import { createHash, timingSafeEqual } from 'node:crypto';
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import { TokenizerError } from '../errors.js';
import type { Tokenizer } from '../tokenizer.js';
import { ApiError, badRequest } from './api_error.js';
import { addCompletionRoute } from './completion_route.js';
import { addInfoRoutes } from './info_routes.js';
import type { Engine } from './job.js';
import { addTokenRoutes } from './token_routes.js';
import { type PromptEncoder, TokenizerThreadError } from './tokenizer_thread.js';

/** What is served, and how much of it. */
export interface ServerOptions {
  engine: Engine;
  tokenizer: Tokenizer;
  /** Turns texts into ids in place of the tokenizer, which keeps this thread for so long. */
  encoder?: PromptEncoder | undefined;
  /** What /v1/models lists, and requests name. */
  modelName: string;
  /** Ids below it are the model's. */
  vocabSize: number;
  /** Most tokens of a prompt and its continuation together. Default 4096. */
  maxLength?: number | undefined;
  /** Sequences that may wait; beyond it requests are told to come later (429). Default 256. */
  maxWaiting?: number | undefined;
  /** Bytes of a request. Default 4 MiB. */
  bodyLimit?: number | undefined;
  /** Clients must send it as a bearer token; none unless given. */
  apiKey?: string | undefined;
  /** Writes a line of JSON for each request to stderr. Default false. */
  log?: boolean | undefined;
  /** Told of errors that are the server's own fault, which clients see as 500. */
  onError?: ((error: Error) => void) | undefined;
}

/** With its defaults. */
export interface ServerContext extends ServerOptions {
  encoder: PromptEncoder;
  maxLength: number;
  maxWaiting: number;
}

/** A server that is not yet listening: `await server.listen({ port })`, `await server.close()`. */
export function createServer(options: ServerOptions): FastifyInstance {
  const { log = false, bodyLimit = 4 * 1024 * 1024, onError = () => {} } = options;
  const answer = (error: FastifyError | ApiError, _: FastifyRequest, reply: FastifyReply) => {
    const told = toApiError(error);
    if (told.statusCode === 500) onError(error);
    if (told.statusCode === 429 || told.statusCode === 503) void reply.header('retry-after', '1');
    void reply.code(told.statusCode).send(told.toJSON());
  };
  const app = fastify({
    bodyLimit,
    logger: log && { level: 'info', stream: process.stderr },
    // logRequests writes one line a request, not two.
    logController: new LogController({ disableRequestLogging: true }),
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, allErrors: false } },
    // For a client to send its request; the answer may take any time.
    requestTimeout: 60_000,
    return503OnClosing: false, // refuseWhenClosing says it in OpenAI's form
    forceCloseConnections: 'idle',
    frameworkErrors: answer,
  });
  app.setErrorHandler(answer);
  app.setNotFoundHandler(({ method, url }) => {
    throw notFound(method, url);
  });
  if (log) logRequests(app);
  refuseWhenClosing(app);
  if (options.apiKey !== undefined) requireKey(app, options.apiKey);
  const { encoder = options.tokenizer, maxLength = 4096, maxWaiting = 256 } = options;
  const context = { ...options, encoder, maxLength, maxWaiting };
  addInfoRoutes(app, context);
  addTokenRoutes(app, context);
  addCompletionRoute(app, context);
  return app;
}

function toApiError(error: FastifyError | ApiError | TokenizerError): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof TokenizerThreadError)
    return new ApiError(500, error.message, 'server_error');
  if (error instanceof TokenizerError) return badRequest(`prompt: ${error.message}`, 'prompt');
  if (error.validation) {
    const [first] = error.validation;
    const param = first?.instancePath.split('/')[1] ?? null;
    const expected = param === 'prompt' ? PROMPT_KINDS : (first?.message ?? 'is not valid');
    return badRequest(param === null ? expected : `${param} ${expected}`, param);
  }
  const { statusCode = 500 } = error;
  if (statusCode === 415) {
    return new ApiError(415, 'send JSON, with the header Content-Type: application/json');
  }
  if (statusCode < 500) return new ApiError(statusCode, error.message);
  return new ApiError(500, 'the server made an error', 'server_error');
}

const PROMPT_KINDS = 'must be a text, a list of texts, token ids, or a list of such lists';

function notFound(method: string, url: string): ApiError {
  const [path = url] = url.split('?');
  const message = NOT_HERE[path] ?? `this server has ${ROUTES}`;
  return new ApiError(404, `there is no ${method} ${path}: ${message}`);
}

const ROUTES =
  'POST /v1/completions, GET /v1/models, GET /health, POST /tokenize, POST /detokenize and GET /tokenizer_info';

/** Routes of OpenAI's API that are often asked for. */
const NOT_HERE: Readonly<Record<string, string>> = {
  '/v1/chat/completions':
    'Rene is a base model, which continues text and knows no chat; POST /v1/completions with a prompt',
  '/v1/responses':
    'Rene is a base model, which continues text and knows no chat; POST /v1/completions with a prompt',
  '/v1/embeddings': 'Rene continues text and makes no embeddings; POST /v1/completions',
};

function logRequests(app: FastifyInstance): void {
  app.addHook('onResponse', async ({ method, url, ip, log }, { statusCode, elapsedTime }) => {
    log.info({ method, url, ip, status: statusCode, ms: Math.round(elapsedTime) });
  });
}

/** Requests in progress are finished, new ones on connections that are still open are told. */
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
  // A client that keeps its connection for later requests would keep the server from ending.
  app.addHook('onResponse', async () => {
    if (isClosing) setImmediate(() => app.server.closeIdleConnections());
  });
}

/** Compares digests, so that the time it takes says nothing about the key. */
function requireKey(app: FastifyInstance, apiKey: string): void {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  const expected = digest(apiKey);
  app.addHook('onRequest', async (request) => {
    if (request.routeOptions.url === '/health') return;
    const [, key = ''] = /^bearer +(.*)$/i.exec(request.headers.authorization ?? '') ?? [];
    if (timingSafeEqual(digest(key), expected)) return;
    throw new ApiError(
      401,
      'the API key is missing or wrong; send it as Authorization: Bearer KEY',
      'authentication_error',
      null,
      'invalid_api_key',
    );
  });
}
