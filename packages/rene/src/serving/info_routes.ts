// Routes about the server and its tokens: /health, /v1/models, /tokenize, /detokenize, /tokenizer_info.
import type { FastifyInstance } from 'fastify';
import { ApiError } from './api_error.js';
import type { ServerContext } from './server.js';

export function addInfoRoutes(app: FastifyInstance, context: ServerContext): void {
  addModelRoutes(app, context);
  addTokenRoutes(app, context);
}

/** The error for a model that this server does not have. */
export function noSuchModel(wanted: string, modelName: string): ApiError {
  const message = `there is no model '${wanted}'; this server has '${modelName}'`;
  return new ApiError(404, message, 'invalid_request_error', 'model', 'model_not_found');
}

function addModelRoutes(
  app: FastifyInstance,
  { engine, modelName, maxLength }: ServerContext,
): void {
  const created = Math.floor(Date.now() / 1000);
  const model = {
    id: modelName,
    object: 'model',
    created,
    owned_by: 'rene-js',
    max_model_len: maxLength,
  };
  app.get('/health', async () => ({ status: 'ok', model: modelName, ...engine.load() }));
  app.get('/v1/models', async () => ({ object: 'list', data: [model] }));
  // A hub id has a slash in it.
  app.get<{ Params: { '*': string } }>('/v1/models/*', async ({ params }) => {
    if (params['*'] === modelName) return model;
    throw noSuchModel(params['*'], modelName);
  });
}

function addTokenRoutes(app: FastifyInstance, context: ServerContext): void {
  const { tokenizer, encoder, vocabSize, maxLength } = context;
  const nameOf = (id: number | null) => (id === null ? null : (tokenizer.token(id) ?? null));
  app.get('/tokenizer_info', async () => ({
    eos_token: nameOf(tokenizer.eosTokenId),
    eos_token_id: tokenizer.eosTokenId,
    bos_token: null,
    pad_token: nameOf(tokenizer.padTokenId),
    vocab_size: vocabSize,
    model_max_length: maxLength,
  }));
  const tokenize = {
    type: 'object',
    required: ['prompt'],
    properties: { prompt: { type: 'string' }, add_special_tokens: { type: 'boolean' } },
  } as const;
  app.post<{ Body: { prompt: string; add_special_tokens?: boolean } }>(
    '/tokenize',
    { schema: { body: tokenize } },
    async ({ body: { prompt, add_special_tokens: addSpecialTokens = true } }) => {
      const tokens = await encoder.encode(prompt, { addSpecialTokens });
      return { tokens, count: tokens.length, max_model_len: maxLength };
    },
  );
  const detokenize = {
    type: 'object',
    required: ['tokens'],
    properties: {
      tokens: { type: 'array', items: { type: 'integer', minimum: 0 }, maxItems: 65_536 },
    },
  } as const;
  app.post<{ Body: { tokens: number[] } }>(
    '/detokenize',
    { schema: { body: detokenize } },
    async ({ body: { tokens } }) => ({ prompt: tokenizer.decode(tokens) }),
  );
}
