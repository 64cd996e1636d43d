// Answers to completion requests: limits, and the answer as a whole or as a stream of server-sent events.
import type { FastifyReply } from 'fastify';
import { Admission } from './admission.js';
import type { AnswerFormat } from './answer_format.js';
import { ApiError } from './api_error.js';
import {
  type CompletionLimits,
  completionJobs,
  promptCount,
  sequencesOf,
} from './completion_request.js';
import type { CompletionBody } from './completion_schema.js';
import { Completion } from './completions.js';
import { jsonText } from './json_text.js';
import type { ServerContext } from './server_options.js';
import { byteLength, LONG_ANSWER } from './slow_readers.js';
import { untilClosed } from './token_routes.js';
import { TokenTexts } from './token_texts.js';
import { callTokensOf } from './tool_calls.js';

/** Maximum number of sequences of a request, prompts times n. */
const MAX_SEQUENCES = 128;

/** About 28 MB of JSON; enough for 128 prompts of 4,096 tokens with one alternative each. */
const MAX_LOGPROBS = 2 ** 20;

/** Runs the requests of all routes that complete text. */
export class Answers {
  private readonly admission: Admission;
  private readonly limits: CompletionLimits;
  private readonly tokenTexts: TokenTexts;
  private readonly callTokens: ReadonlyMap<number, string>;

  constructor(private readonly server: ServerContext) {
    const { engine, maxLength, maxWaiting, vocabSize, tokenizer } = server;
    this.admission = new Admission(engine, maxWaiting);
    const { eosTokenId } = tokenizer;
    this.limits = {
      vocabSize,
      maxLength,
      maxSequences: Math.min(MAX_SEQUENCES, this.admission.clientLimit),
      maxLogprobs: MAX_LOGPROBS,
      eosTokenId: eosTokenId !== null && eosTokenId < vocabSize ? eosTokenId : null,
    };
    this.tokenTexts = new TokenTexts(tokenizer);
    this.callTokens = callTokensOf(tokenizer);
  }

  /**
   * @param field the request's field from which the prompts are, for errors. Default: 'prompt'.
   * @throws ApiError
   */
  async answer(
    body: CompletionBody,
    reply: FastifyReply,
    format: AnswerFormat,
    field?: string,
  ): Promise<FastifyReply | undefined> {
    const { server, admission, limits, tokenTexts, callTokens } = this;
    const client = server.apiKeys.clientOf(reply.request);
    const sequences = sequencesOf(body) * promptCount(body);
    const isAllowed = sequences <= limits.maxSequences; // else completionJobs says what is wrong
    const admitted = isAllowed ? admission.enter(client, sequences) : undefined;
    try {
      const source = { field, signal: untilClosed(reply) };
      const { prompts, jobs } = await completionJobs(body, server.encoder, limits, source);
      admitted?.prepared();
      if (reply.raw.destroyed) throw new ApiError(499, 'the client went away');
      const owned = jobs.map((job) => ({ ...job, client }));
      const context = { ...server, tokenTexts, callTokens, format };
      const completion = new Completion(context, body, { prompts, jobs: owned });
      // A disconnected client frees its slots.
      reply.raw.once('close', () => completion.cancel());
      if (body.stream) {
        await stream(completion, body, reply);
        return undefined;
      }
      await completion.run();
      return send(completion.answer(), reply, server);
    } finally {
      admitted?.leave();
    }
  }
}
function send(buffers: readonly Buffer[], reply: FastifyReply, { slowReaders }: ServerContext) {
  const length = byteLength(buffers);
  void reply.type('application/json; charset=utf-8').header('content-length', length);
  if (length < LONG_ANSWER) return reply.send(Buffer.concat(buffers));
  return reply.send(slowReaders.stream(reply.request.raw.socket, buffers));
}

/** Maximum unsent bytes of a slow client. */
const MAX_UNSENT = 16 * 1024 * 1024;

async function stream(
  completion: Completion,
  body: CompletionBody,
  reply: FastifyReply,
): Promise<void> {
  const { raw } = reply;
  const send = (...data: (string | Buffer)[]) => {
    if (!reply.sent) {
      void reply.headers({
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        'x-accel-buffering': 'no',
      });
      reply.hijack();
      for (const [name, value] of Object.entries(reply.getHeaders())) {
        if (value !== undefined) raw.setHeader(name, value);
      }
      raw.writeHead(200);
    }
    if (raw.destroyed) return;
    raw.cork(); // one chunk of HTTP for all pieces, without copying them
    for (const piece of ['data: ', ...data, '\n\n']) raw.write(piece);
    raw.uncork();
    if (raw.writableLength > MAX_UNSENT) raw.destroy();
  };
  try {
    await completion.run(send);
    if (body.stream_options?.include_usage) send(completion.usagePart());
    send('[DONE]');
  } catch (error) {
    if (!reply.sent) throw error; // with its own status
    send(jsonText(error instanceof ApiError ? error : INTERNAL));
  }
  raw.end();
}

const INTERNAL = new ApiError(500, 'internal server error', 'server_error');
