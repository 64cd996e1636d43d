// Tool calls in answers: how they are separated from text, and how the API returns them.
import { type ChatMessage, Tokenizer } from '@rene-js/rene';
import { expect } from 'chai';
import fc from 'fast-check';
import type { FastifyInstance } from 'fastify';
import { modelFolder } from '../../src/commands/load.js';
import type { Engine } from '../../src/serving/job.js';
import { createServer } from '../../src/serving/server.js';
import { ToolCallParser } from '../../src/serving/tool_calls.js';
import { idleEngine } from './fake_engines.js';

/** The text and calls of an answer that comes in pieces. */
function parsed(pieces: readonly string[]) {
  const parser = new ToolCallParser();
  const text = pieces.map((piece) => parser.push(piece)).join('') + parser.end();
  const calls = parser.take().map(({ function: called }) => [called.name, called.arguments]);
  return { text, calls };
}

const WEATHER = '{"name": "weather", "arguments": {"city": "Oslo <3"}}';
const WANTED = ['weather', '{"city":"Oslo <3"}'];

describe('ToolCallParser', () => {
  const cases: [answer: string, text: string, calls: string[][]][] = [
    ['', '', []],
    [' plain \n', ' plain \n', []],
    [`<tool_call>\n${WEATHER}\n</tool_call>`, '', [WANTED]],
    [
      `I look.\n<tool_call>${WEATHER}</tool_call>\n<tool_call>{"name":"now"}</tool_call>\n`,
      'I look.',
      [WANTED, ['now', '{}']],
    ],
    [`<tool_call>${WEATHER}`, '', [WANTED]],
    [
      `<TOOLCALL>[${WEATHER}, {"name":"a","parameters":{"b":1}}]</TOOLCALL>`,
      '',
      [WANTED, ['a', '{"b":1}']],
    ],
    [`Yes. <|tool_call|>[${WEATHER}]`, 'Yes.', [WANTED]],
    ['<tool_call>{"name": "a", "arguments": "{}"}</tool_call>', '', [['a', '{}']]],
    ['a < b <tool_', 'a < b <tool_', []],
    [
      '<tool_call>{"name": wea</tool_call> and so on',
      '<tool_call>{"name": wea</tool_call> and so on',
      [],
    ],
    ['<tool_call>[]</tool_call>', '<tool_call>[]</tool_call>', []],
    ['<tool_call>{"name": 3}</tool_call>', '<tool_call>{"name": 3}</tool_call>', []],
    [`a <tool_call>${WEATHER}</tool_call> b`, 'a b', [WANTED]],
  ];
  for (const [answer, text, calls] of cases) {
    it(JSON.stringify(answer), () => {
      expect(parsed([answer])).to.deep.equal({ text, calls });
      expect(parsed([...answer])).to.deep.equal({ text, calls });
    });
  }

  it('pieces of any length give the same', () => {
    const part = fc.constantFrom(
      ' ',
      'a',
      '<',
      '<tool_call>',
      '</tool_call>',
      WEATHER,
      '<|tool_call|>',
    );
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 8 }),
        fc.integer({ min: 1, max: 9 }),
        (parts, size) => {
          const answer = parts.join('');
          const pieces = answer.match(new RegExp(`.{1,${size}}`, 'gs')) ?? [];
          expect(parsed(pieces)).to.deep.equal(parsed([answer]));
        },
      ),
    );
  });
});

describe('tool calls of /v1/chat/completions', () => {
  let app: FastifyInstance;
  let tokenizer: Tokenizer;
  let answer = '';
  const messages: ChatMessage[] = [{ role: 'user', content: 'Rain?' }];
  const tools = [{ type: 'function', function: { name: 'weather' } }];
  /** Answers with the tokens of `answer`. */
  const engine: Engine = {
    ...idleEngine,
    submit(_, onEvent) {
      const ids = tokenizer.encode(answer);
      setImmediate(() => {
        onEvent({ type: 'prompt', tokens: 1, logProbs: undefined });
        ids.forEach((id, i) => {
          const finishReason = i === ids.length - 1 ? 'eos' : undefined;
          onEvent({ type: 'token', k: 0, id, logProb: undefined, finishReason });
        });
        onEvent({ type: 'end' });
      });
      return () => {};
    },
  };
  const post = async (body: object) =>
    (await app.inject({ method: 'POST', url: '/v1/chat/completions', payload: body })).body;
  const choice = async (body: object) => JSON.parse(await post(body)).choices[0];

  before(async () => {
    tokenizer = await Tokenizer.fromPretrained(await modelFolder(undefined));
    const chatTemplate = '{{ messages[0].content }}';
    app = createServer({ engine, tokenizer, modelName: 'tiny', vocabSize: 4096, chatTemplate });
  });
  after(() => app.close());

  it('whole and streamed answers have them; without tools they are text', async () => {
    answer = `Wait. <tool_call>${WEATHER}</tool_call><tool_call>${WEATHER}</tool_call>`;
    const { message, finish_reason } = await choice({ messages, tools });
    expect(message.content).to.equal('Wait.');
    expect(finish_reason).to.equal('tool_calls');
    expect(message.tool_calls).to.have.length(2);
    const [call, other] = message.tool_calls;
    expect(call).to.deep.include({ type: 'function' });
    expect(call.function).to.deep.equal({ name: WANTED[0], arguments: WANTED[1] });
    expect(call.id)
      .to.match(/^call_\w{24}$/)
      .and.not.equal(other.id);
    for (const body of [{ messages }, { messages, tools, tool_choice: 'none' }]) {
      const plain = await choice(body);
      expect(plain.message.content).to.equal(answer);
      expect(plain.message).not.to.have.property('tool_calls');
    }
    const events = (await post({ messages, tools, stream: true })).split('\n\n').slice(0, -2);
    const deltas = events.map((line) => JSON.parse(line.slice('data: '.length)).choices[0].delta);
    expect(deltas.map(({ content = '' }) => content).join('')).to.equal('Wait.');
    const streamed = deltas.flatMap(({ tool_calls: calls = [] }) => calls);
    expect(streamed.map(({ index }) => index)).to.deep.equal([0, 1]);
    expect(streamed[1].function).to.deep.equal(call.function);
  });

  it('content is null if there is no text', async () => {
    answer = `<tool_call>${WEATHER}</tool_call>`;
    expect((await choice({ messages, tools })).message.content).to.equal(null);
  });
});
