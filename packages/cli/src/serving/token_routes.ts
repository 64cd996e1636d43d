// The routes /tokenize, /detokenize and /tokenizer_info.
import { nextTurn } from '@rene-js/rene/internal';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { ApiError, badRequest } from './api_error.js';
import type { ServerContext } from './server_options.js';

/** Maximum number of characters of a text to tokenise. */
const MAX_CHARACTERS = 1_000_000;
/** Maximum number of characters of all texts that are being tokenised. */
const MAX_TOGETHER = 8 * MAX_CHARACTERS;

export function addTokenRoutes(app: FastifyInstance, context: ServerContext): void {
  const { tokenizer, vocabSize, maxLength } = context;
  const nameOf = (id: number | null) => (id === null ? null : (tokenizer.token(id) ?? null));
  app.get('/tokenizer_info', async () => ({
    eos_token: nameOf(tokenizer.eosTokenId),
    eos_token_id: tokenizer.eosTokenId,
    bos_token: null,
    pad_token: nameOf(tokenizer.padTokenId),
    vocab_size: vocabSize,
    model_max_length: maxLength,
  }));
  addTokenize(app, context);
  addDetokenize(app, context);
}

function addTokenize(app: FastifyInstance, { encoder, maxLength }: ServerContext): void {
  const body = {
    type: 'object',
    required: ['prompt'],
    properties: { prompt: { type: 'string' }, add_special_tokens: { type: 'boolean' } },
  } as const;
  let together = 0;
  app.post<{ Body: { prompt: string; add_special_tokens?: boolean } }>(
    '/tokenize',
    { schema: { body } },
    async ({ body: { prompt, add_special_tokens: addSpecialTokens = true } }, reply) => {
      const { length } = prompt;
      if (length > MAX_CHARACTERS) {
        const expected = `expected at most ${MAX_CHARACTERS} characters`;
        throw badRequest(`prompt: ${expected}, found ${length}`, 'prompt');
      }
      if (together + length > MAX_TOGETHER) throw tooBusy();
      together += length;
      try {
        const signal = untilClosed(reply);
        const tokens = await encoder.encode(prompt, { addSpecialTokens, signal });
        const count = tokens.length;
        reply.type('application/json; charset=utf-8');
        return `{"tokens":[${await listed(tokens)}],"count":${count},"max_model_len":${maxLength}}`;
      } finally {
        together -= length;
      }
    },
  );
}

/** Ids with commas between them; other requests have their turn in between. */
async function listed(ids: readonly number[]): Promise<string> {
  const parts: string[] = [];
  for (let at = 0; at < ids.length; at += PART) {
    parts.push(ids.slice(at, at + PART).join());
    await nextTurn();
  }
  return parts.join();
}

/** Ids that are a few milliseconds' work. */
const PART = 1 << 16;

function addDetokenize(app: FastifyInstance, { tokenizer }: ServerContext): void {
  const body = {
    type: 'object',
    required: ['tokens'],
    properties: {
      tokens: { type: 'array', items: { type: 'integer', minimum: 0 }, maxItems: 65_536 },
    },
  } as const;
  app.post<{ Body: { tokens: number[] } }>(
    '/detokenize',
    { schema: { body } },
    async ({ body: { tokens } }) => ({ prompt: tokenizer.decode(tokens) }),
  );
}

/** Aborted if the client disconnects before the answer. */
export function untilClosed({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const leave = () => controller.abort(new ApiError(499, 'the client went away'));
  if (raw.destroyed) leave();
  else raw.once('close', () => raw.writableFinished || leave());
  return controller.signal;
}

function tooBusy(): ApiError {
  const message = 'long texts are being tokenised already; try again later';
  return new ApiError(429, message, 'rate_limit_error', null, 'rate_limit_exceeded');
}
