// POST /v1/chat/completions: answers as OpenAI's API has them, the template's prompt, errors by name.
import { useBackend } from '@rene-js/layers';
import { ReneLMHeadModel, Tokenizer } from '@rene-js/rene';
import { expect } from 'chai';
import fc from 'fast-check';
import type { FastifyInstance } from 'fastify';
import { modelFolder } from '../../src/commands/load.js';
import { BatchEngine } from '../../src/serving/batch_engine.js';
import type { Job } from '../../src/serving/job.js';
import { createServer } from '../../src/serving/server.js';
import { instantEngine } from './fake_engines.js';

const TEMPLATE = `{%- if tools %}Tools: {{ tools | tojson }}
{% endif %}
{%- for message in messages %}
{%- if message.role == 'clown' %}{{ raise_exception('no clowns') }}{% endif %}
{{- message.role }}: {{ message.content }}
{%- for call in message.tool_calls or [] %}[{{ call.function.name }} {{ call.function.arguments.city }}]{% endfor %}
{{- '\\n' }}{% endfor %}
{%- if thinking %}(thinking){% endif %}
{%- if add_generation_prompt %}assistant:{% endif %}`;

const QUESTION = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Who was Rene Descartes?' },
];
const PROMPT = 'system: Be brief.\nuser: Who was Rene Descartes?\nassistant:';

describe('chat completions', function () {
  this.timeout(60_000);
  let model: ReneLMHeadModel;
  let tokenizer: Tokenizer;
  let app: FastifyInstance;
  let cheap: FastifyInstance;
  let plain: FastifyInstance;
  let lastJob: Job | undefined;

  const post = async (url: string, payload: object, to: FastifyInstance) => {
    const response = await to.inject({ method: 'POST', url, payload });
    return { status: response.statusCode, text: response.body };
  };
  const chat = async (body: object, to = app) => {
    const { status, text } = await post('/v1/chat/completions', body, to);
    return { status, json: JSON.parse(text) };
  };
  const complete = async (body: object) =>
    JSON.parse((await post('/v1/completions', body, app)).text);
  const streamed = async (body: object) => {
    const { text } = await post('/v1/chat/completions', { ...body, stream: true }, app);
    const events = text.split('\n\n').filter((line) => line !== '');
    expect(events.pop()).to.equal('data: [DONE]');
    return events.map((line) => JSON.parse(line.slice('data: '.length)));
  };
  /** The prompt that a conversation becomes. */
  const promptOf = async (body: object) => {
    const { status, json } = await chat({ max_tokens: 1, ...body }, cheap);
    expect(status, JSON.stringify(json)).to.equal(200);
    return tokenizer.decode(lastJob?.prompt ?? []);
  };
  const refusal = async (body: object, to = cheap) => {
    const { status, json } = await chat(body, to);
    expect(status, JSON.stringify(body)).to.equal(400);
    return json.error;
  };

  before(async () => {
    await useBackend('simd');
    const dir = await modelFolder(undefined);
    model = await ReneLMHeadModel.fromPretrained(dir, { backend: 'simd' });
    tokenizer = await Tokenizer.fromPretrained(dir);
    const { vocabSize } = model.config;
    const options = { tokenizer, modelName: 'tiny', vocabSize, chatTemplate: TEMPLATE };
    app = createServer({ ...options, engine: new BatchEngine(model, tokenizer, 16, 1e9) });
    const engine = instantEngine((job) => {
      lastJob = job;
    });
    cheap = createServer({ ...options, engine });
    plain = createServer({ ...options, engine, chatTemplate: undefined });
  });
  after(async () => {
    await Promise.all([app.close(), cheap.close(), plain.close()]);
    model.dispose();
  });

  it('answers with the continuation of the rendered conversation', async () => {
    const options = { max_tokens: 12, temperature: 0.8, seed: 3, n: 2 };
    const { status, json } = await chat({ messages: QUESTION, ...options });
    expect(status).to.equal(200);
    const { choices, usage } = await complete({ prompt: PROMPT, ...options });
    expect(json.choices).to.deep.equal(
      choices.map(
        ({
          index,
          text,
          finish_reason,
        }: {
          index: number;
          text: string;
          finish_reason: string;
        }) => ({
          index,
          message: { role: 'assistant', content: text, refusal: null },
          logprobs: null,
          finish_reason,
        }),
      ),
    );
    expect(json).to.include({ object: 'chat.completion', model: 'tiny' });
    expect(json.id).to.match(/^chatcmpl-/);
    expect(json.usage.total_tokens).to.equal(usage.total_tokens);
  });

  it('streams the same answer: the role first, the reason last, then the usage', async () => {
    const body = { messages: QUESTION, max_tokens: 9, temperature: 0.8, seed: 4, n: 2 };
    const whole = await chat({ ...body, logprobs: true, top_logprobs: 2 });
    const options = { logprobs: true, top_logprobs: 2, stream_options: { include_usage: true } };
    const parts = await streamed({ ...body, ...options });
    const last = parts.pop();
    expect(last.choices).to.deep.equal([]);
    expect(last.usage.completion_tokens).to.equal(whole.json.usage.completion_tokens);
    for (const { index, message, logprobs, finish_reason } of whole.json.choices) {
      const own = parts.map(({ choices }) => choices[0]).filter((part) => part.index === index);
      expect(own[0].delta).to.deep.equal({ role: 'assistant', content: '' });
      const text = own.map(({ delta }) => delta.content ?? '').join('');
      expect(text).to.equal(message.content);
      expect(own.flatMap((part) => part.logprobs?.content ?? [])).to.deep.equal(logprobs.content);
      expect(own.at(-1).finish_reason).to.equal(finish_reason);
      expect(own.slice(0, -1).every((part) => part.finish_reason === null)).to.equal(true);
    }
    expect(new Set(parts.map(({ object }) => object))).to.deep.equal(
      new Set(['chat.completion.chunk']),
    );
  });

  it('log-probabilities: an object for each token, with its bytes and the top ones', async () => {
    const options = { max_tokens: 5, temperature: 0 };
    const { json } = await chat({
      messages: QUESTION,
      logprobs: true,
      top_logprobs: 3,
      ...options,
    });
    const { choices } = await complete({ prompt: PROMPT, logprobs: 3, ...options });
    const { tokens, token_logprobs: logprobs } = choices[0].logprobs;
    const { content } = json.choices[0].logprobs;
    expect(content.map(({ token }: { token: string }) => token)).to.deep.equal(tokens);
    expect(content.map(({ logprob }: { logprob: number }) => logprob)).to.deep.equal(logprobs);
    for (const { token, bytes, logprob, top_logprobs: top } of content) {
      expect(Buffer.from(bytes).toString()).to.equal(token);
      expect(top).to.have.length(3);
      expect(top[0]).to.deep.equal({ token, logprob, bytes }); // greedy
    }
    const bare = await chat({ messages: QUESTION, logprobs: true, ...options });
    expect(bare.json.choices[0].logprobs.content[0].top_logprobs).to.deep.equal([]);
    expect(await refusal({ messages: QUESTION, top_logprobs: 2 })).to.include({
      param: 'top_logprobs',
    });
  });

  it('ends before a stop string and at the tokenizer’s end of text', async () => {
    const options = { max_tokens: 12, temperature: 0 };
    const { json } = await chat({ messages: QUESTION, ...options });
    const { content } = json.choices[0].message;
    const stop = content.slice(5, 9);
    const stopped = await chat({ messages: QUESTION, stop, ...options });
    expect(stopped.json.choices[0].message.content).to.equal(
      content.slice(0, content.indexOf(stop)),
    );
    expect(stopped.json.choices[0].finish_reason).to.equal('stop');
    await chat({ messages: QUESTION, stop_token_ids: [5] }, cheap);
    expect(lastJob?.stopIds).to.deep.equal([5, tokenizer.eosTokenId]);
  });

  it('a second turn goes on from the state of the first', async () => {
    const messages = [{ role: 'user', content: 'Tell me about the sea. '.repeat(20) }];
    const { json } = await chat({ messages, max_tokens: 4, temperature: 0 });
    const { prompt_tokens: before } = json.usage;
    const [{ message }] = json.choices;
    const next = [...messages, message, { role: 'user', content: 'And then?' }];
    const { json: second } = await chat({ messages: next, max_tokens: 4 });
    const { cached_tokens: known } = second.usage.prompt_tokens_details;
    expect(known).to.be.within(Math.floor(before / 128) * 128, second.usage.prompt_tokens - 1);
    expect(known).to.be.above(0);
  });

  it('an answer may take the rest of the length, unless it is told another', async () => {
    await chat({ messages: QUESTION }, cheap);
    expect(lastJob?.maxTokens).to.equal(4096 - tokenizer.encode(PROMPT).length);
    for (const name of ['max_tokens', 'max_completion_tokens', 'max_new_tokens']) {
      await chat({ messages: QUESTION, [name]: 7 }, cheap);
      expect(lastJob?.maxTokens, name).to.equal(7);
    }
  });

  it('content as parts, tools, calls and their arguments reach the template', async () => {
    const text = (value: string) => ({ type: 'text', text: value });
    const parts = [{ role: 'user', content: [text('one'), text('two')] }];
    expect(await promptOf({ messages: parts })).to.equal('user: one\ntwo\nassistant:');
    const tool = { type: 'function', function: { name: 'weather', parameters: {} } };
    const asked = { role: 'user', content: 'Rain?' };
    const withTools = { messages: [asked], tools: [tool] };
    expect(await promptOf(withTools)).to.match(/^Tools: .*"weather".*\nuser: Rain\?\nassistant:$/);
    expect(await promptOf({ ...withTools, tool_choice: 'auto' })).to.match(/^Tools/);
    expect(await promptOf({ ...withTools, tool_choice: 'none' })).to.match(/^user/);
    const call = { id: 'a', function: { name: 'weather', arguments: '{"city": "Oslo"}' } };
    const answered = { role: 'tool', tool_call_id: 'a', content: 'Yes' };
    const turns = [asked, { role: 'assistant', content: null, tool_calls: [call] }, answered];
    expect(await promptOf({ messages: turns, add_generation_prompt: false })).to.equal(
      'user: Rain?\nassistant: [weather Oslo]\ntool: Yes\n',
    );
    const variables = { chat_template_kwargs: { thinking: true } };
    expect(await promptOf({ messages: [asked], ...variables })).to.include('(thinking)');
  });

  it('a model without a chat template says what to do', async () => {
    const error = await refusal({ messages: QUESTION }, plain);
    expect(error.code).to.equal('no_chat_template');
    expect(error.message)
      .to.match(/^tiny has no chat template/)
      .and.include('--chat-template');
    expect(error.message).to.include('/v1/completions');
  });

  it('what is wrong with a conversation is named', async () => {
    const wrong: [messages: unknown, message: RegExp][] = [
      [undefined, /^messages: expected at least one/],
      [[], /^messages: expected at least one/],
      ['hi', /^messages must be a list of messages/],
      [[{ content: 'a' }], /^messages\[0\]\.role: expected a text/],
      [[...QUESTION, { role: 'user' }], /^messages\[2\]\.content: expected a text, found nothing/],
      [[{ role: 'user', content: 7 }], /^messages\[0\]\.content: expected .* found 7/],
      [[{ role: 'user', content: [{ type: 'image_url' }] }], /content\[0\]: .* found "image_url"/],
      [[{ role: 'assistant', tool_calls: [{}] }], /^messages\[0\]\.tool_calls\[0\]\.function/],
      [[{ role: 'clown', content: '' }], /^messages: the chat template fails: .*no clowns/],
      [[{ role: 'user', content: 'sea '.repeat(9000) }], /^messages: expected at most 4096 tokens/],
    ];
    for (const [messages, message] of wrong) {
      const error = await refusal({ messages });
      expect(error.message).to.match(message);
      expect(error.param, error.message).to.equal('messages');
    }
  });

  it('refuses more entries than tokens fit before the template reads them', async () => {
    const [question] = QUESTION;
    for (const name of ['messages', 'tools', 'documents']) {
      const entries = (n: number) => Array.from({ length: n }, () => question);
      const error = await refusal({ messages: QUESTION, [name]: entries(4097) });
      expect(error.message).to.equal(`${name}: expected at most 4096 entries, found 4097`);
      expect(error.param).to.equal(name);
    }
    const error = await refusal({ messages: Array.from({ length: 4096 }, () => question) });
    expect(error.message, 'the template has read them').to.match(/at most 4096 tokens/);
  });

  it('refuses by name what it cannot do, and takes what changes nothing', async () => {
    const refused = {
      prompt: 'a',
      echo: true,
      best_of: 2,
      tool_choice: 'required',
      response_format: { type: 'json_object' },
      chat_template: '{{ x }}',
      continue_final_message: true,
      modalities: ['audio'],
      reasoning_effort: 'high',
      spoons: 3,
    };
    for (const [name, value] of Object.entries(refused)) {
      const error = await refusal({ messages: QUESTION, [name]: value });
      expect(error, name).to.include({ param: name, code: 'unsupported_parameter' });
    }
    const body = { parallel_tool_calls: false, tools: [], user: 'me', modalities: ['text'] };
    const taken = { ...body, response_format: { type: 'text' }, store: true, tool_choice: null };
    expect(await promptOf({ messages: QUESTION, ...taken })).to.equal(PROMPT);
  });

  it('answers any JSON with 200 or an error that names a field', async () => {
    const names = fc.constantFrom('messages', 'tools', 'tool_choice', 'logprobs', 'stop', 'n');
    const role = fc.record({ role: fc.anything(), content: fc.anything() });
    const value = fc.oneof(fc.jsonValue(), fc.array(role));
    await fc.assert(
      fc.asyncProperty(fc.dictionary(names, value), async (fields) => {
        const { status, json } = await chat({ max_tokens: 1, ...fields }, cheap);
        expect([200, 400, 429], JSON.stringify(json)).to.include(status);
        if (status === 200) expect(json.choices).to.have.length.above(0);
        else expect(json.error.message).to.be.a('string');
      }),
      { numRuns: 150 },
    );
  });
});
