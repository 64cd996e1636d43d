// Echoed prompts and the JSON of answers: the text as it was sent, whole and streamed answers alike.

import { Tokenizer } from '@rene-js/rene';
import { expect } from 'chai';
import fc from 'fast-check';
import type { FastifyInstance } from 'fastify';
import { completionFormat } from '../../src/serving/answer_json.js';
import { completionJobs } from '../../src/serving/completion_request.js';
import { Completion } from '../../src/serving/completions.js';
import { createServer } from '../../src/serving/server.js';
import { codePoints, sentOffsets } from '../../src/serving/text_offsets.js';
import { TokenTexts } from '../../src/serving/token_texts.js';
import { instantEngine } from './fake_engines.js';

interface Logprobs {
  tokens: string[];
  token_logprobs: (number | null)[];
  top_logprobs: (Record<string, number> | null)[];
  text_offset: number[];
}

interface Choice {
  index: number;
  text: string;
  logprobs: Logprobs | null;
  finish_reason: string | null;
}

const NAMES = ['tokens', 'token_logprobs', 'top_logprobs', 'text_offset'] as const;

describe('echo', () => {
  let tokenizer: Tokenizer;
  let app: FastifyInstance;

  const post = (payload: object) => app.inject({ method: 'POST', url: '/v1/completions', payload });
  const complete = async (body: object): Promise<Choice[]> => {
    const response = await post(body);
    expect(response.statusCode, response.body.slice(0, 300)).to.equal(200);
    return response.json().choices;
  };
  /** The choices of a streamed answer, put together. */
  const streamed = async (body: object): Promise<Choice[]> => {
    const response = await post({ ...body, stream: true });
    const choices: Choice[] = [];
    for (const line of response.body.split('\n\n').slice(0, -2)) {
      const [part]: Choice[] = JSON.parse(line.slice('data: '.length)).choices;
      if (!part) continue;
      choices[part.index] ??= {
        index: part.index,
        text: '',
        logprobs: part.logprobs && {
          tokens: [],
          token_logprobs: [],
          top_logprobs: [],
          text_offset: [],
        },
        finish_reason: null,
      };
      const all = choices[part.index];
      if (!all) continue;
      all.text += part.text;
      all.finish_reason ??= part.finish_reason;
      for (const name of NAMES) {
        const more: readonly unknown[] = part.logprobs?.[name] ?? [];
        const list: unknown[] | undefined = all.logprobs?.[name];
        list?.push(...more);
      }
    }
    return choices;
  };

  before(async () => {
    tokenizer = await Tokenizer.fromPretrained('rene-tiny');
    app = createServer({
      engine: instantEngine(),
      tokenizer,
      modelName: 'rene-tiny',
      vocabSize: tokenizer.vocabSize,
    });
  });
  after(() => app.close());

  it('returns any text as it was sent, where the tokenizer normalises it too', async () => {
    const character = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
      fc.constantFrom(
        'e\u0301',
        'u\u0308\u0304',
        'ﬁ',
        '\u1100\u1161',
        ' ',
        '\ufeff',
        '\ud83d',
        '가',
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(character, { maxLength: 12 }), async (characters) => {
        const prompt = `a${characters.join('')}`;
        const [plain] = await complete({ prompt, max_tokens: 1, echo: true });
        expect(plain?.text.slice(0, prompt.length)).to.equal(prompt);
        const [choice] = await complete({ prompt, max_tokens: 2, echo: true, logprobs: 1 });
        const { text = '', logprobs } = choice ?? {};
        expect(text.slice(0, prompt.length)).to.equal(prompt);
        const offsets = logprobs?.text_offset ?? [];
        expect(offsets).to.deep.equal(offsets.toSorted((a, b) => a - b));
        // The first new token begins where the prompt ends.
        expect(offsets.at(-2)).to.equal(codePoints(prompt));
      }),
      { numRuns: 40 },
    );
  });

  it('tells where each token begins in the text that was sent', async () => {
    const decomposed = 'Cafe\u0301 in Zu\u0308rich';
    const composed = decomposed.normalize('NFC');
    const offset = sentOffsets(decomposed, composed);
    expect(composed.indexOf('Z')).to.equal(8);
    expect(offset(8)).to.equal(decomposed.indexOf('Z'));
    expect(offset(composed.length)).to.equal(decomposed.length);
    const [choice] = await complete({ prompt: decomposed, max_tokens: 0, echo: true, logprobs: 0 });
    const { tokens = [], text_offset = [] } = choice?.logprobs ?? {};
    const after = tokens.findIndex((token) => token.startsWith(' Z'));
    expect(text_offset[after]).to.equal(decomposed.indexOf(' Z'));
    // A token that was added before the text is no part of it.
    const added = sentOffsets('Hello', '<s>Hello');
    expect([0, 3, 4, 8].map(added)).to.deep.equal([0, 0, 1, 5]);
    const lowered = sentOffsets('ÄB', 'ab!!');
    expect([0, 1, 2, 4].map(lowered)).to.deep.equal([0, 1, 2, 2]);
  });

  it('is the same for texts and token ids where nothing is normalised', async () => {
    const prompt = 'A bird, <|endoftext|> and 🐝 é';
    const body = { max_tokens: 1, echo: true, logprobs: 2, n: 3 };
    const ofText = await complete({ prompt, ...body });
    expect(ofText).to.deep.equal(await complete({ prompt: tokenizer.encode(prompt), ...body }));
  });

  it('makes whole and streamed answers of the same choices', async () => {
    const bodies = fc.record({
      prompt: fc.oneof(
        fc.string({ maxLength: 30 }),
        fc.array(fc.nat(8191), { minLength: 1, maxLength: 20 }),
        fc.array(fc.string({ minLength: 1, maxLength: 9 }), { minLength: 1, maxLength: 3 }),
      ),
      n: fc.integer({ min: 1, max: 3 }),
      max_tokens: fc.integer({ min: 0, max: 600 }),
      echo: fc.boolean(),
      logprobs: fc.constantFrom(null, 0, 3),
    });
    await fc.assert(
      fc.asyncProperty(bodies, async (body) => {
        const whole = await complete(body);
        for (const { logprobs } of whole) {
          const lengths = NAMES.map((name) => logprobs?.[name].length ?? 0);
          expect(new Set(lengths).size).to.equal(1);
          expect(logprobs === null).to.equal(body.logprobs === null);
        }
        expect(await streamed(body)).to.deep.equal(whole);
      }),
      { numRuns: 25 },
    );
  });

  it('makes the JSON of an echoed prompt once for all its choices', async () => {
    const ids = Array.from({ length: 2000 }, (_, i) => i);
    const body = { prompt: ids, echo: true, logprobs: 5, n: 20, max_tokens: 1 };
    const limits = {
      maxLength: 4096,
      maxSequences: 20,
      maxLogprobs: 1e6,
      vocabSize: 8192,
      eosTokenId: null,
    };
    const context = {
      engine: instantEngine(),
      tokenizer,
      tokenTexts: new TokenTexts(tokenizer),
      modelName: 'm',
      format: completionFormat,
    };
    const jobs = await completionJobs(body, tokenizer, limits);
    const completion = new Completion(context, body, jobs);
    await completion.run();
    const buffers = completion.answer();
    const bytes = (list: readonly Buffer[]) => list.reduce((sum, { length }) => sum + length, 0);
    expect(bytes([...new Set(buffers)])).to.be.below(bytes(buffers) / 15);
    const { choices } = JSON.parse(Buffer.concat(buffers).toString());
    expect(choices).to.deep.equal(await complete(body));
    const echoed: Buffer[] = [];
    await new Completion(context, body, jobs).run((...json) => {
      echoed.push(...json.filter((piece) => typeof piece !== 'string'));
    });
    expect(new Set(echoed).size)
      .to.equal(echoed.length / body.n)
      .and.above(0);
    let texts = 0;
    const counting = { tokenText: (id: number) => `${id} ${texts++}` };
    const tokenTexts = new TokenTexts(counting);
    expect([7, 8, 7, 7].map((id) => tokenTexts.of(id).text)).to.deep.equal([
      ...['7 0', '8 1', '7 0', '7 0'],
    ]);
  });

  it('refuses an answer of too many log-probabilities before any work, saying the bound', async () => {
    const jobs: number[] = [];
    const own = createServer({
      engine: instantEngine(({ n }) => jobs.push(n)),
      tokenizer,
      modelName: 'rene-tiny',
      vocabSize: tokenizer.vocabSize,
    });
    const ask = async (payload: object) => {
      const response = await own.inject({ method: 'POST', url: '/v1/completions', payload });
      return { status: response.statusCode, error: response.json().error };
    };
    const prompt = Array(3000).fill(5);
    const cases = [
      { prompt, echo: true, logprobs: 20, n: 17, max_tokens: 0 },
      { prompt: [1], logprobs: 20, n: 100, max_tokens: 3000 },
      { prompt: [1], logprobs: 4, n: 10, best_of: 60, max_tokens: 4000 },
      { prompt: Array(60).fill(prompt), echo: true, logprobs: 5, max_tokens: 1, stream: true },
    ];
    for (const body of cases) {
      const { status, error } = await ask(body);
      expect(status).to.equal(400);
      expect(error.param).to.equal('logprobs');
      expect(error.message).to.match(/at most 1048576 log-probabilities in an answer, found \d{7}/);
    }
    expect(jobs).to.deep.equal([]);
    expect((await ask({ prompt, echo: true, n: 17, max_tokens: 0 })).status).to.equal(200);
    // As lm-evaluation-harness asks: many full prompts, one alternative.
    const batch = { prompt: Array(128).fill(Array(4095).fill(5)), echo: true, logprobs: 1 };
    const { jobs: admitted } = await completionJobs({ ...batch, max_tokens: 1 }, tokenizer, {
      maxLength: 4096,
      maxSequences: 128,
      maxLogprobs: 2 ** 20,
      vocabSize: 8192,
      eosTokenId: null,
    });
    expect(admitted).to.have.length(128);
  });
});
