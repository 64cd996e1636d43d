// The server's routes: answers as OpenAI's API has them, limits and errors, whatever is sent.
import { useBackend } from '@rene-js/layers';
import { ReneLMHeadModel, Tokenizer } from '@rene-js/rene';
import { expect } from 'chai';
import fc from 'fast-check';
import type { FastifyInstance } from 'fastify';
import { modelFolder } from '../../src/commands/load.js';
import { BatchEngine } from '../../src/serving/batch_engine.js';
import type { Engine } from '../../src/serving/job.js';
import { createServer } from '../../src/serving/server.js';
import type { ServerOptions } from '../../src/serving/server_options.js';

const FUZZED = 10_000;

describe('the server', function () {
  this.timeout(120_000);
  let model: ReneLMHeadModel;
  let tokenizer: Tokenizer;
  let engine: Engine;
  let app: FastifyInstance;

  const server = (options: Partial<ServerOptions> = {}) =>
    createServer({
      engine,
      tokenizer,
      modelName: 'rene-tiny',
      vocabSize: model.config.vocabSize,
      ...options,
    });
  const complete = async (body: object, to = app) => {
    const response = await to.inject({ method: 'POST', url: '/v1/completions', payload: body });
    return { status: response.statusCode, json: response.json() };
  };

  before(async () => {
    // This is about HTTP: on the emulated device, which 'auto' may be where other tests have been, it takes minutes.
    const backend = 'simd';
    await useBackend(backend);
    const dir = await modelFolder(undefined);
    model = await ReneLMHeadModel.fromPretrained(dir, { backend });
    tokenizer = await Tokenizer.fromPretrained(dir);
    engine = new BatchEngine(model, tokenizer, 64);
    app = server();
  });
  after(async () => {
    await app.close();
    model.dispose();
  });

  it('completes a text as generate() does, and counts tokens', async () => {
    const prompt = 'Rene Descartes was';
    const { status, json } = await complete({ prompt, max_tokens: 6, temperature: 0 });
    expect(status).to.equal(200);
    const ids = tokenizer.encode(prompt);
    const { sequences } = await model.generate(ids, { maxNewTokens: 6 });
    const text = tokenizer.decode(sequences[0]?.slice(ids.length) ?? []);
    expect(json.choices).to.deep.equal([
      { index: 0, text, logprobs: null, finish_reason: 'length' },
    ]);
    expect(json.usage).to.deep.equal({
      prompt_tokens: ids.length,
      completion_tokens: 6,
      total_tokens: ids.length + 6,
      prompt_tokens_details: { cached_tokens: 0 },
    });
    expect(json).to.include({ object: 'text_completion', model: 'rene-tiny' });
    expect(json.id).to.match(/^cmpl-/);
  });

  it('tells how many tokens of the prompt were known from an earlier one', async () => {
    const cached = server({ engine: new BatchEngine(model, tokenizer, 4, 1e9) });
    const body = { prompt: 'Rene Descartes was', max_tokens: 6, temperature: 0 };
    const first = await complete(body, cached);
    const again = await complete(body, cached);
    expect(again.json.choices).to.deep.equal(first.json.choices);
    const tokens = first.json.usage.prompt_tokens;
    expect(first.json.usage.prompt_tokens_details).to.deep.equal({ cached_tokens: 0 });
    expect(again.json.usage.prompt_tokens_details).to.deep.equal({ cached_tokens: tokens });
    await cached.close();
  });

  it('takes texts and ids, one or many, and n of each, in order', async () => {
    const texts = ['The sea', 'A bird is'];
    const ids = texts.map((text) => tokenizer.encode(text));
    const options = { max_tokens: 4, seed: 7, temperature: 1 };
    const ofTexts = await complete({ prompt: texts, n: 2, ...options });
    const ofIds = await complete({ prompt: ids, n: 2, ...options });
    expect(ofTexts.json.choices).to.deep.equal(ofIds.json.choices);
    const indices = ofTexts.json.choices.map(({ index }: { index: number }) => index);
    expect(indices).to.deep.equal([0, 1, 2, 3]);
    const alone = await complete({ prompt: ids[1], n: 2, ...options });
    const pick = ({ text }: { text: string }) => text;
    expect(alone.json.choices.map(pick)).to.deep.equal(ofTexts.json.choices.slice(2).map(pick));
  });

  it('streams the same text that it gives at once, for each choice', async () => {
    const body = { prompt: ['Green', 'The'], n: 2, max_tokens: 8, seed: 3, echo: true, stop: 'a' };
    const whole = await complete(body);
    const response = await app.inject({
      method: 'POST',
      url: '/v1/completions',
      payload: { ...body, stream: true, stream_options: { include_usage: true } },
    });
    expect(response.headers['content-type']).to.match(/^text\/event-stream/);
    const parts = response.body.split('\n\n').filter((part) => part !== '');
    expect(parts.pop()).to.equal('data: [DONE]');
    const texts = ['', '', '', ''];
    const reasons: (string | null)[] = [];
    let usage: unknown;
    for (const part of parts) {
      const data = JSON.parse(part.replace(/^data: /, ''));
      usage = data.usage;
      for (const { index, text, finish_reason } of data.choices) {
        texts[index] += text;
        reasons[index] = finish_reason;
      }
    }
    for (const { index, text, finish_reason } of whole.json.choices) {
      expect(texts[index]).to.equal(text);
      expect(reasons[index]).to.equal(finish_reason);
      expect(text.slice(5)).not.to.include('a');
    }
    expect(usage).to.deep.equal(whole.json.usage);
  });

  it('gives log-probabilities of prompt and new tokens, the end of text included', async () => {
    const prompt = tokenizer.encode('A bird is');
    const eos = tokenizer.eosTokenId ?? 0;
    const { json } = await complete({
      prompt,
      max_tokens: 1,
      echo: true,
      logprobs: 1,
      temperature: 0,
      logit_bias: { [eos]: 100 },
    });
    const [choice] = json.choices;
    const { tokens, token_logprobs, top_logprobs, text_offset } = choice.logprobs;
    expect(tokens).to.have.length(prompt.length + 1);
    expect(tokens.slice(0, -1).join('')).to.equal('A bird is');
    expect([token_logprobs[0], top_logprobs[0]]).to.deep.equal([null, null]);
    expect(choice).to.include({ text: 'A bird is', finish_reason: 'stop' });
    expect(text_offset).to.have.length(prompt.length + 1);
    for (let i = 1; i < tokens.length; i++) {
      const best = Math.max(...Object.values<number>(top_logprobs[i]));
      expect(top_logprobs[i][tokens[i]]).to.equal(token_logprobs[i]);
      expect(best).to.be.at.least(token_logprobs[i]);
    }
    const none = await complete({ prompt, max_tokens: 0, echo: true, logprobs: 1 });
    expect(none.json.choices[0].logprobs.tokens).to.have.length(prompt.length);
    expect(none.json.choices[0].finish_reason).to.equal('length');
  });

  it('tells where tokens begin in code points, and never splits a character', async () => {
    const prompt = 'é🐝 bee';
    const body = { prompt, max_tokens: 0, echo: true, logprobs: 0 };
    const [choice] = (await complete(body)).json.choices;
    expect(choice.text).to.equal(prompt);
    const { tokens, text_offset } = choice.logprobs;
    const points = [...prompt];
    tokens.forEach((token: string, i: number) => {
      const offset: number = text_offset[i];
      // A part of a character begins where the character does.
      if (token.includes('\uFFFD')) expect(points[offset]).to.be.oneOf(['é', '🐝']);
      else expect(points.slice(offset, offset + [...token].length).join('')).to.equal(token);
    });
    expect(tokens.join('')).to.include('\uFFFD');
  });

  it('gives the best of several by their log-probability a token', async () => {
    const options = { prompt: 'A bird', max_tokens: 5, seed: 1, logprobs: 0 };
    const all = (await complete({ ...options, n: 6 })).json.choices;
    const score = (choice: { logprobs: { token_logprobs: number[] } }) => {
      const { token_logprobs: values } = choice.logprobs;
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    };
    all.sort((a: (typeof all)[0], b: (typeof all)[0]) => score(b) - score(a));
    const { json } = await complete({ ...options, n: 2, best_of: 6 });
    const texts = (choices: { text: string }[]) => choices.map(({ text }) => text);
    expect(texts(json.choices)).to.deep.equal(texts(all.slice(0, 2)));
    expect(json.choices.map((choice: { index: number }) => choice.index)).to.deep.equal([0, 1]);
  });

  it('tells what it is, and turns text into tokens and back', async () => {
    const get = async (url: string) => (await app.inject(url)).json();
    expect(await get('/health')).to.include({ status: 'ok', active: 0, waiting: 0 });
    expect((await get('/v1/models')).data[0]).to.include({ id: 'rene-tiny', object: 'model' });
    expect(await get('/v1/models/rene-tiny')).to.include({ id: 'rene-tiny' });
    expect((await app.inject('/v1/models/other')).statusCode).to.equal(404);
    expect(await get('/tokenizer_info')).to.include({ eos_token: '<|endoftext|>' });
    const post = async (url: string, payload: object) =>
      (await app.inject({ method: 'POST', url, payload })).json();
    const { tokens, count } = await post('/tokenize', {
      prompt: 'Ünïcode 🐝',
      add_special_tokens: false,
    });
    expect(tokens).to.deep.equal(tokenizer.encode('Ünïcode 🐝'));
    expect(count).to.equal(tokens.length);
    expect(await post('/detokenize', { tokens })).to.deep.equal({ prompt: 'Ünïcode 🐝' });
  });

  it('refuses what makes no sense, naming the field', async () => {
    const manyFields = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${i}`, i]));
    const cases: [object, string | null, RegExp][] = [
      [
        { prompt: 'a', ...manyFields },
        null,
        /^the request body must NOT have more than 100 properties/,
      ],
      [{ prompt: 3 }, 'prompt', /prompt must be a text, a list/],
      [{ prompt: ['a', 1] }, 'prompt', /prompt must be a text/],
      [{ prompt: [8192] }, 'prompt', /token ids below 8192, found 8192/],
      [{ prompt: 'a', max_tokens: -1 }, 'max_tokens', /max_tokens must be >= 0/],
      [{ prompt: 'a', temperature: 'hot' }, 'temperature', /^temperature must be a number$/],
      [{ prompt: 'a', logit_bias: { x: 1 } }, 'logit_bias', /token ids below 8192, found 'x'/],
      [{ prompt: 'a', stop_token_ids: [9999] }, 'stop_token_ids', /below 8192, found '9999'/],
      [{ prompt: 'a', suffix: 'b' }, 'suffix', /completes at the end only/],
      [{ prompt: 'a', guided_regex: 'b+' }, 'guided_regex', /cannot be constrained/],
      [{ prompt: 'a', n: 3, best_of: 2 }, 'best_of', /at least n \(3\), found 2/],
      [{ prompt: 'a', best_of: 2, stream: true }, 'best_of', /cannot be streamed/],
      [{ prompt: 'a', stream_options: {} }, 'stream_options', /goes with stream/],
      [{ prompt: Array(5000).fill(1) }, 'prompt', /at most 4096 tokens .* 5000 tokens/],
      [{ prompt: 'a', max_tokens: 4096 }, 'prompt', /1 tokens and max_tokens 4096/],
      [{ prompt: 'x '.repeat(200_000) }, 'prompt', /400000 characters/],
      [{ prompt: Array(65).fill('a'), n: 2 }, 'prompt', /at most 128 sequences/],
    ];
    for (const [body, param, message] of cases) {
      const { status, json } = await complete(body);
      expect(status, message.source).to.equal(400);
      expect(json.error).to.include({ type: 'invalid_request_error', param });
      expect(json.error.message).to.match(message);
      expect(Object.keys(json.error)).to.deep.equal(['message', 'type', 'param', 'code']);
    }
  });

  it('refuses a body that is no JSON object, in words', async () => {
    const notJson = /^the request body is not valid JSON: expected an object/;
    const bodies: [string, RegExp][] = [
      ['{"prompt": "a", max_tokens: 3}', notJson],
      ['{"prompt": "a"', notJson],
      ['', notJson],
      ['[]', /^the request body must be an object$/],
      ['"a"', /^the request body must be an object$/],
      ['{"prompt": "a", "echo": "yes"}', /^echo must be a boolean$/],
      ['{"prompt": "a", "n": 1.5}', /^n must be an integer$/],
    ];
    const headers = { 'content-type': 'application/json' };
    for (const [payload, message] of bodies) {
      const request = { method: 'POST', url: '/v1/completions', headers, payload } as const;
      const { statusCode, json } = await app.inject(request);
      expect(statusCode, payload).to.equal(400);
      expect(json().error.message).to.match(message);
    }
  });

  it('answers 401, 404, 413, 415, 429 and 503', async () => {
    const locked = server({ apiKey: 'secret', bodyLimit: 1000 });
    const send = (headers: Record<string, string>, payload: string) =>
      locked.inject({ method: 'POST', url: '/v1/completions', headers, payload });
    const json = { 'content-type': 'application/json' };
    const key = { ...json, authorization: 'Bearer secret' };
    expect((await send(json, '{}')).statusCode).to.equal(401);
    const wrong = await send({ ...json, authorization: 'Bearer secre' }, '{}');
    expect(wrong.json().error.code).to.equal('invalid_api_key');
    expect((await locked.inject('/health')).statusCode).to.equal(200);
    expect((await send(key, '{"prompt":"a","max_tokens":1}')).statusCode).to.equal(200);
    expect((await send(key, `{"prompt":"${'a'.repeat(1000)}"}`)).statusCode).to.equal(413);
    expect((await send(key, '{"prompt":')).statusCode).to.equal(400);
    const text = { 'content-type': 'text/csv', authorization: 'Bearer secret' };
    expect((await send(text, 'a,b')).statusCode).to.equal(415);
    const zipped = await send({ ...key, 'content-encoding': 'gzip' }, '\u001f\u008b');
    expect([zipped.statusCode, zipped.headers['accept-encoding']]).to.deep.equal([415, 'identity']);
    expect(zipped.json().error.message).to.match(/without Content-Encoding/);
    const plain = { ...key, 'content-encoding': 'Identity' };
    expect((await send(plain, '{"prompt":"a","max_tokens":1}')).statusCode).to.equal(200);
    expect((await send(key, '{"prompt":"a","model":"gpt"}')).statusCode).to.equal(404);
    const other = await complete({ prompt: 'a', model: 'gpt-3.5-turbo-instruct' });
    expect(other.json.error).to.include({ code: 'model_not_found', param: 'model' });
    expect(other.json.error.message).to.include("this server has 'rene-tiny'");
    const responses = await app.inject({ method: 'POST', url: '/v1/responses', payload: {} });
    expect(responses.statusCode).to.equal(404);
    expect(responses.json().error.message).to.match(/POST \/v1\/chat\/completions with messages/);
    expect((await app.inject('/v1/completions')).json().error.message).to.match(
      /^there is no GET \/v1\/completions: this server has POST \/v1\/completions/,
    );
    const broken = await app.inject('/v1/%zz');
    expect(broken.statusCode).to.equal(400);
    expect(Object.keys(broken.json().error)).to.include('type');
    const load = () => ({ active: 64, waiting: 256, slots: 64 });
    const busy = server({ engine: { ...idle, load } });
    const payload = { prompt: 'a' };
    const told = await busy.inject({ method: 'POST', url: '/v1/completions', payload });
    expect(told.statusCode).to.equal(429);
    expect(told.headers['retry-after']).to.equal('1');
    expect(told.json().error.type).to.equal('rate_limit_error');
    for (const [isDown, status] of [
      [true, 503],
      [false, 500],
    ] as const) {
      const submit: Engine['submit'] = (_, onEvent) => {
        onEvent({ type: 'error', message: 'the card fell out', isDown });
        return () => {};
      };
      const failed = await complete({ prompt: 'a' }, server({ engine: { ...idle, submit } }));
      expect(failed.status).to.equal(status);
      expect(failed.json.error).to.include({ message: 'the card fell out', type: 'server_error' });
    }
  });

  it(`answers ${FUZZED} malformed bodies without failing`, async () => {
    const fields = ['prompt', 'max_tokens', 'n', 'stop', 'logprobs', 'seed', 'logit_bias', 'echo'];
    const cheap = server({ engine: instant });
    const odd = fc.oneof(
      fc.jsonValue({ maxDepth: 3 }),
      fc.double(),
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.array(fc.integer(), { maxLength: 5 }),
    );
    const body = fc.oneof(
      fc.dictionary(fc.constantFrom(...fields), odd, { maxKeys: 6 }).map((b) => JSON.stringify(b)),
      fc.jsonValue().map((value) => JSON.stringify(value)),
      fc.string({ unit: 'binary' }),
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
      fc.constantFrom('{"__proto__":{"prompt":"a"}}', '{"prompt":"a","n":1e999}', '[', '{"a":'),
    );
    const statuses = new Set<number>();
    await fc.assert(
      fc.asyncProperty(
        body,
        fc.constantFrom('completions', 'tok', 'detok'),
        async (text, which) => {
          const url = { completions: '/v1/completions', tok: '/tokenize', detok: '/detokenize' }[
            which
          ];
          const headers = { 'content-type': 'application/json' };
          const response = await cheap.inject({ method: 'POST', url, headers, payload: text });
          statuses.add(response.statusCode);
          expect(response.statusCode).to.be.oneOf([200, 400]);
          if (response.statusCode !== 200) {
            expect(response.json().error.message).to.be.a('string').that.is.not.empty;
          }
        },
      ),
      { numRuns: FUZZED },
    );
    expect(statuses).to.include(400);
    expect((await complete({ prompt: 'a', max_tokens: 1 })).status).to.equal(200);
  });
});

const idle: Engine = {
  submit: () => () => {},
  load: () => ({ active: 0, waiting: 0, slots: 64 }),
};

/** Ends every job at once, so that only what lies before the engine is tried. */
const instant: Engine = {
  ...idle,
  submit(job, onEvent) {
    setImmediate(() => {
      onEvent({ type: 'prompt', tokens: job.prompt.length, logProbs: undefined });
      for (let k = 0; k < job.n; k++) {
        onEvent({ type: 'token', k, id: 1, logProb: undefined, finishReason: 'length' });
      }
      onEvent({ type: 'end' });
    });
    return () => {};
  },
};
