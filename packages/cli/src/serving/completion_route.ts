// POST /v1/completions and /v1/chat/completions.
import type { FastifyInstance } from 'fastify';
import { completionFormat } from './answer_json.js';
import { Answers } from './answers.js';
import { chatFormat, toolFormat } from './chat_json.js';
import { completionOfChat, offersTools } from './chat_request.js';
import { type ChatBody, chatSchema } from './chat_schema.js';
import { type CompletionBody, completionSchema } from './completion_schema.js';
import { noSuchModel } from './info_routes.js';
import type { ServedModel } from './model_pool.js';
import type { ServerContext } from './server_options.js';
import { atOnce } from './tokenizer_thread.js';
import { refuseUnsupported } from './unsupported_fields.js';

export function addCompletionRoutes(app: FastifyInstance, server: ServerContext): void {
  const { modelName, pool, countEngine } = server;
  const main = { context: server, answers: new Answers(server) };
  const contexts = new WeakMap<ServedModel, typeof main>();
  const others = (model: ServedModel) => {
    const known = contexts.get(model);
    if (known) return known;
    const { encoder = atOnce(model.tokenizer), engine } = model;
    const context = { ...server, ...model, encoder, engine: countEngine(engine) };
    const made = { context, answers: new Answers(context) };
    contexts.set(model, made);
    return made;
  };
  /** Runs a request with the model that it names. */
  const withModel = <T>(
    { model }: Pick<CompletionBody, 'model'>,
    run: (chosen: typeof main) => Promise<T>,
  ): Promise<T> => {
    if (model == null || model === modelName) return run(main);
    if (!pool?.has(model)) throw noSuchModel(model, [modelName, ...(pool?.names ?? [])]);
    return pool.use(model, (served) => run(others(served)));
  };
  app.post<{ Body: CompletionBody }>(
    '/v1/completions',
    { schema: { body: completionSchema } },
    async ({ body }, reply) => {
      refuseUnsupported(body);
      return withModel(body, ({ answers }) => answers.answer(body, reply, completionFormat));
    },
  );
  app.post<{ Body: ChatBody }>(
    '/v1/chat/completions',
    { schema: { body: chatSchema } },
    async ({ body }, reply) =>
      withModel(body, async ({ answers, context }) => {
        const format = offersTools(body) ? toolFormat : chatFormat;
        return answers.answer(completionOfChat(body, context), reply, format, 'messages');
      }),
  );
}
