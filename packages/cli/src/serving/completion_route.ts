// POST /v1/completions and /v1/chat/completions.
import type { FastifyInstance } from 'fastify';
import { completionFormat } from './answer_json.js';
import { Answers } from './answers.js';
import { chatFormat } from './chat_json.js';
import { completionOfChat } from './chat_request.js';
import { type ChatBody, chatSchema } from './chat_schema.js';
import { type CompletionBody, completionSchema } from './completion_schema.js';
import { noSuchModel } from './info_routes.js';
import type { ServerContext } from './server_options.js';
import { refuseUnsupported } from './unsupported_fields.js';

export function addCompletionRoutes(app: FastifyInstance, server: ServerContext): void {
  const { modelName } = server;
  const answers = new Answers(server);
  const checkModel = ({ model }: Pick<CompletionBody, 'model'>) => {
    if (model != null && model !== modelName) throw noSuchModel(model, modelName);
  };
  app.post<{ Body: CompletionBody }>(
    '/v1/completions',
    { schema: { body: completionSchema } },
    async ({ body }, reply) => {
      checkModel(body);
      refuseUnsupported(body);
      return answers.answer(body, reply, completionFormat);
    },
  );
  app.post<{ Body: ChatBody }>(
    '/v1/chat/completions',
    { schema: { body: chatSchema } },
    async ({ body }, reply) => {
      checkModel(body);
      return answers.answer(completionOfChat(body, server), reply, chatFormat, 'messages');
    },
  );
}
