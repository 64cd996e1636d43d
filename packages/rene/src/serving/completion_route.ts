// POST /v1/completions: limits, and the answer as one or as a stream of server-sent events.
import type { FastifyInstance, FastifyReply } from 'fastify';
import { ApiError } from './api_error.js';
import {
  bestOf,
  type CompletionBody,
  type CompletionLimits,
  completionJobs,
  completionSchema,
  unknownFields,
} from './completion_request.js';
import { Completion } from './completions.js';
import { noSuchModel } from './info_routes.js';
import type { ServerContext } from './server.js';
import { TokenTexts } from './token_texts.js';

/** Most sequences of a request, prompts times n. */
const MAX_SEQUENCES = 128;

export function addCompletionRoute(app: FastifyInstance, server: ServerContext): void {
  const { engine, encoder, modelName, maxLength, maxWaiting, vocabSize } = server;
  const capacity = engine.load().slots + maxWaiting;
  const limits: CompletionLimits = {
    vocabSize,
    maxLength,
    maxSequences: Math.min(MAX_SEQUENCES, capacity),
  };
  const context = { ...server, tokenTexts: new TokenTexts(server.tokenizer) };
  /** Sequences whose prompts are being tokenised. */
  let preparing = 0;
  app.post<{ Body: CompletionBody }>(
    '/v1/completions',
    { schema: { body: completionSchema } },
    async ({ body, log }, reply) => {
      const { model } = body;
      if (model != null && model !== modelName) throw noSuchModel(model, modelName);
      const unknown = unknownFields(body);
      if (unknown.length > 0) log.warn({ ignored: unknown }, 'fields that mean nothing here');
      const sequences = bestOf(body) * promptCount(body);
      const { active, waiting } = engine.load();
      if (sequences <= limits.maxSequences && active + waiting + preparing + sequences > capacity) {
        throw tooBusy(waiting + preparing);
      }
      preparing += sequences;
      const jobs = await completionJobs(body, encoder, limits).finally(() => {
        preparing -= sequences;
      });
      if (reply.raw.destroyed) throw new ApiError(499, 'the client went away');
      const completion = new Completion(context, body, jobs);
      // A client that goes away frees its slots.
      reply.raw.once('close', () => completion.cancel());
      if (body.stream) return stream(completion, body, reply);
      await completion.run();
      return completion.response();
    },
  );
}

function promptCount({ prompt }: CompletionBody): number {
  return typeof prompt === 'string' || typeof prompt[0] === 'number' ? 1 : prompt.length;
}

function tooBusy(waiting: number): ApiError {
  return new ApiError(
    429,
    `${waiting} sequences wait already; try again later`,
    'rate_limit_error',
    null,
    'rate_limit_exceeded',
  );
}

/** Unsent bytes of a client that reads too slowly to be waited for. */
const MAX_UNSENT = 16 * 1024 * 1024;

async function stream(
  completion: Completion,
  body: CompletionBody,
  reply: FastifyReply,
): Promise<void> {
  const { raw } = reply;
  const send = (data: string) => {
    if (!reply.sent) {
      reply.hijack();
      raw.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        'x-accel-buffering': 'no',
      });
    }
    if (raw.destroyed) return;
    raw.write(`data: ${data}\n\n`);
    if (raw.writableLength > MAX_UNSENT) raw.destroy();
  };
  try {
    await completion.run((choice, index) => {
      const chunk = completion.chunk(choice, index);
      if (chunk) send(JSON.stringify(chunk));
    });
    if (body.stream_options?.include_usage) send(JSON.stringify(completion.usageChunk()));
    send('[DONE]');
  } catch (error) {
    if (!reply.sent) throw error; // with its own status
    const told = error instanceof ApiError ? error : new ApiError(500, 'the server made an error');
    send(JSON.stringify(told));
  }
  raw.end();
}
