// The routes that describe the server: /health, /ping, /version, /props and /v1/models.
import { packageVersion } from '@rene-js/rene/internal';
import type { FastifyInstance } from 'fastify';
import { ApiError } from './api_error.js';
import type { ServerContext } from './server_options.js';

/** The error for an unknown model name. */
export function noSuchModel(wanted: string, names: readonly string[]): ApiError {
  const known = names.map((name) => `'${name}'`).join(', ');
  const message = `there is no model '${wanted}'; this server has ${known}`;
  return new ApiError(404, message, 'invalid_request_error', 'model', 'model_not_found');
}

export function addInfoRoutes(
  app: FastifyInstance,
  { engine, load, modelName, maxLength, tokenizer, chatTemplate, pool }: ServerContext,
): void {
  const created = Math.floor(Date.now() / 1000);
  const models = [modelName, ...(pool?.names ?? [])].map((id) => ({
    id,
    object: 'model',
    created,
    owned_by: 'rene-js',
    max_model_len: maxLength,
  }));
  app.get('/health', async (_, reply) => {
    const { downReason } = engine;
    const status = downReason === undefined ? 'ok' : 'down';
    const { active, waiting, slots } = load();
    const health = { status, model: modelName, active, waiting, slots };
    if (downReason === undefined) return health;
    const error = new ApiError(503, downReason, 'server_error');
    return reply.code(503).send({ ...health, ...error.toJSON() });
  });
  // As in vLLM, which SageMaker asks.
  app.get('/ping', async (_, reply) => {
    const { downReason } = engine;
    if (downReason !== undefined) throw new ApiError(503, downReason, 'server_error');
    return reply.send({});
  });
  app.get('/version', async () => ({ version: packageVersion() }));
  // As in llama.cpp.
  app.get('/props', async () => ({
    default_generation_settings: { n_ctx: maxLength, params: DEFAULTS },
    total_slots: engine.load().slots,
    model_alias: modelName,
    model_path: modelName,
    chat_template: chatTemplate ?? '',
    modalities: { vision: false, audio: false },
    eos_token: tokenText(tokenizer, tokenizer.eosTokenId),
    bos_token: '',
    build_info: `rene-js ${packageVersion()}`,
    is_sleeping: false,
  }));
  app.get('/v1/models', async () => ({ object: 'list', data: models }));
  // A hub id contains a slash.
  app.get<{ Params: { '*': string } }>('/v1/models/*', async ({ params }) => {
    const found = models.find(({ id }) => id === params['*']);
    if (found) return found;
    throw noSuchModel(
      params['*'],
      models.map(({ id }) => id),
    );
  });
}

/** What a request without a field means. */
const DEFAULTS = {
  n_predict: 16,
  temperature: 1,
  top_k: 0,
  top_p: 1,
  min_p: 0,
  typical_p: 1,
  repeat_penalty: 1,
  presence_penalty: 0,
  frequency_penalty: 0,
  seed: -1,
  n_probs: 0,
  stop: [],
  stream: false,
} as const;

function tokenText(tokenizer: ServerContext['tokenizer'], id: number | null): string {
  return id === null ? '' : (tokenizer.token(id) ?? '');
}
