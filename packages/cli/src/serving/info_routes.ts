// The routes /health and /v1/models.
import type { FastifyInstance } from 'fastify';
import { ApiError } from './api_error.js';
import type { ServerContext } from './server_options.js';

/** The error for an unknown model name. */
export function noSuchModel(wanted: string, modelName: string): ApiError {
  const message = `there is no model '${wanted}'; this server has '${modelName}'`;
  return new ApiError(404, message, 'invalid_request_error', 'model', 'model_not_found');
}

export function addInfoRoutes(
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
  app.get('/health', async (_, reply) => {
    const { downReason } = engine;
    const status = downReason === undefined ? 'ok' : 'down';
    const health = { status, model: modelName, ...engine.load() };
    if (downReason === undefined) return health;
    const error = new ApiError(503, downReason, 'server_error');
    return reply.code(503).send({ ...health, ...error.toJSON() });
  });
  app.get('/v1/models', async () => ({ object: 'list', data: [model] }));
  // A hub id contains a slash.
  app.get<{ Params: { '*': string } }>('/v1/models/*', async ({ params }) => {
    if (params['*'] === modelName) return model;
    throw noSuchModel(params['*'], modelName);
  });
}
