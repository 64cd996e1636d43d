// Fields of a completion request: what is supported changes the answer, all else is refused by name.
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

describe('fields of a completion request', function () {
  this.timeout(60_000);
  let model: ReneLMHeadModel;
  let tokenizer: Tokenizer;
  let app: FastifyInstance;
  let cheap: FastifyInstance;
  let lastJob: Job | undefined;

  const complete = async (body: object, to = app) => {
    const response = await to.inject({ method: 'POST', url: '/v1/completions', payload: body });
    return { status: response.statusCode, json: response.json() };
  };
  /** The job that a request makes. */
  const jobOf = async (body: object) => {
    const { status, json } = await complete({ prompt: 'A bird', ...body }, cheap);
    expect(status, JSON.stringify(json)).to.equal(200);
    return lastJob;
  };
  const refusal = async (body: object) => {
    const { status, json } = await complete({ prompt: 'A bird', max_tokens: 2, ...body }, cheap);
    expect(status, JSON.stringify(body)).to.equal(400);
    return json.error;
  };

  before(async () => {
    await useBackend('simd');
    const dir = await modelFolder(undefined);
    model = await ReneLMHeadModel.fromPretrained(dir, { backend: 'simd' });
    tokenizer = await Tokenizer.fromPretrained(dir);
    const options = { tokenizer, modelName: 'rene-tiny', vocabSize: model.config.vocabSize };
    app = createServer({ ...options, engine: new BatchEngine(model, tokenizer, 16) });
    const engine = instantEngine((job) => {
      lastJob = job;
    });
    cheap = createServer({ ...options, engine });
  });
  after(async () => {
    await Promise.all([app.close(), cheap.close()]);
    model.dispose();
  });

  it("understands other servers' names for what generate() can do", async () => {
    for (const name of ['max_completion_tokens', 'max_new_tokens', 'n_predict']) {
      expect(await jobOf({ [name]: 7 }), name).to.include({ maxTokens: 7 });
    }
    expect(await jobOf({ n_predict: -1 })).to.include({ maxTokens: 4096 - 2 });
    expect(await jobOf({ repeat_penalty: 1.4 })).to.include({ repetitionPenalty: 1.4 });
    expect(await jobOf({ min_new_tokens: 3 })).to.include({ minTokens: 3 });
    expect(await jobOf({ num_return_sequences: 3 })).to.include({ n: 3 });
    expect(await jobOf({ n_cmpl: 2 })).to.include({ n: 2 });
    expect(await jobOf({ no_repeat_ngram_size: 3 })).to.include({ noRepeatNgramSize: 3 });
    expect(await jobOf({ typical_p: 0.9, epsilon_cutoff: 0.01, eta_cutoff: 0.02 })).to.include({
      typicalP: 0.9,
      epsilonCutoff: 0.01,
      etaCutoff: 0.02,
    });
    expect((await jobOf({ bad_words_ids: [[5], [6, 7]] }))?.badWordsIds).to.deep.equal([
      [5],
      [6, 7],
    ]);
    expect((await jobOf({ stop_sequences: ['x', 'y'], stop: 'x' }))?.stop).to.deep.equal([
      'x',
      'y',
    ]);
    expect(await jobOf({ do_sample: false, temperature: 0.9 })).to.include({ temperature: 0 });
    expect(await jobOf({ do_sample: true })).to.include({ temperature: 1 });
  });

  it('does what they say', async () => {
    const prompt = 'The old house is big. The old house is';
    const [the = 0] = tokenizer.encode(' the');
    const logit_bias = { [the]: 9 }; // so that it repeats itself
    const body = { prompt, max_tokens: 24, temperature: 0, ignore_eos: true, logit_bias };
    const text = async (extra: object) =>
      (await complete({ ...body, ...extra })).json.choices[0].text;
    const options = { maxNewTokens: 24, eosTokenId: null, logitBias: logit_bias };
    const generated = async (extra: object) => {
      const ids = tokenizer.encode(body.prompt);
      const { sequences } = await model.generate(ids, { ...options, ...extra });
      return tokenizer.decode(sequences[0]?.slice(ids.length) ?? [], { skipSpecialTokens: true });
    };
    const plain = await text({});
    expect(plain).to.equal(await generated({}));
    const once = await text({ no_repeat_ngram_size: 2 });
    expect(once)
      .to.equal(await generated({ noRepeatNgramSize: 2 }))
      .and.not.equal(plain);
    const [first = 0] = tokenizer.encode(plain);
    const without = await text({ bad_words_ids: [[first]] });
    expect(without)
      .to.equal(await generated({ badWordsIds: [[first]] }))
      .and.not.equal(plain);
    expect(await text({ repeat_penalty: 1.6 })).to.equal(
      await generated({ repetitionPenalty: 1.6 }),
    );
    const typical = { temperature: 1, seed: 3 };
    expect(await text({ typical_p: 0.4, ...typical })).to.equal(
      await generated({ typicalP: 0.4, ...typical }),
    );
    const only = await text({ allowed_token_ids: [first, the] });
    expect(new Set(tokenizer.encode(prompt + only).slice(-12)))
      .to.have.property('size')
      .most(2);
  });

  it('is greedy with top_p 0, as if all other tokens were left out', async () => {
    const body = { prompt: 'A lighthouse', max_tokens: 12 };
    const texts = async (extra: object) =>
      (await complete({ ...body, ...extra })).json.choices[0].text;
    const greedy = await texts({ temperature: 0 });
    for (const seed of [1, 2, 3]) {
      expect(await texts({ top_p: 0, temperature: 1.5, seed })).to.equal(greedy);
    }
  });

  it('takes a random seed for -1, and refuses seeds that JSON rounds', async () => {
    expect((await jobOf({ seed: -1 }))?.seed).to.equal(undefined);
    expect(await jobOf({ seed: -2 })).to.include({ seed: -2 });
    expect(await jobOf({ seed: 0 })).to.include({ seed: 0 });
    const most = Number.MAX_SAFE_INTEGER;
    expect(await jobOf({ seed: most })).to.include({ seed: most });
    for (const seed of ['9007199254740992', '9007199254740993', '-9007199254740992', '1e300']) {
      const payload = `{"prompt":"a","seed":${seed}}`;
      const headers = { 'content-type': 'application/json' };
      const url = '/v1/completions';
      const response = await cheap.inject({ method: 'POST', url, headers, payload });
      expect(response.statusCode, seed).to.equal(400);
      expect(response.json().error.param).to.equal('seed');
    }
    const texts = await Promise.all(
      Array.from({ length: 6 }, () => complete({ prompt: 'The', seed: -1, max_tokens: 16 })),
    );
    expect(new Set(texts.map(({ json }) => json.choices[0].text)).size).to.be.above(1);
  });

  it('refuses by name what may change the answer, known or not', async () => {
    const fields: Record<string, unknown> = {
      typical: 0.5,
      dry_multiplier: 0.8,
      num_beams: 3,
      length_penalty: 0.5,
      early_stopping: true,
      tools: [{ type: 'function' }],
      tool_choice: 'required',
      n_probs: 2,
      samplers: ['top_k'],
      guided_json: {},
      response_format: { type: 'json_object' },
      lora: [{ id: 0, scale: 1 }],
      return_token_ids: true,
      watermark: true,
      some_field_of_next_year: 'on',
      constructor: { a: 1 },
    };
    for (const [name, value] of Object.entries(fields)) {
      const error = await refusal({ [name]: value });
      expect(error).to.include({ param: name, code: 'unsupported_parameter' });
      expect(error.message).to.match(new RegExp(`^${name} is not supported: \\w`));
    }
    expect(
      await refusal({ stream: true, stream_options: { continuous_usage_stats: true } }),
    ).to.include({ param: 'stream_options.continuous_usage_stats' });
    expect(await refusal({ repetition_penalty: 1.2, repeat_last_n: 64 })).to.include({
      param: 'repeat_last_n',
    });
    expect(await refusal({ repeat_penalty: 1.2, repeat_last_n: 0 })).to.include({
      param: 'repeat_last_n',
    });
    // 1 turns these off; 0 is their strongest value.
    for (const name of ['typical', 'tfs_z', 'cfg_scale']) {
      expect(await refusal({ [name]: 0 })).to.include({ param: name });
    }
  });

  it('accepts them where they do nothing', async () => {
    const neutral = {
      typical: 1,
      dry_multiplier: 0,
      dry_base: 1.75,
      num_beams: 1,
      length_penalty: 1,
      early_stopping: false,
      tools: [],
      tool_choice: 'auto',
      response_format: { type: 'text' },
      mirostat: 0,
      mirostat_tau: 5,
      suffix: '',
      guided_regex: null,
      repeat_last_n: 64,
      user: 'me',
      metadata: { a: 1 },
      cache_prompt: true,
      some_field_of_next_year: false,
    };
    const plain = await jobOf({ max_tokens: 3 });
    expect(await jobOf({ max_tokens: 3, ...neutral })).to.deep.equal(plain);
  });

  it('refuses fields that contradict each other, naming both', async () => {
    const cases: [object, string, RegExp][] = [
      [{ max_tokens: 2, n_predict: 3 }, 'n_predict', /max_tokens 2 and n_predict 3/],
      [{ n: 2, num_return_sequences: 3 }, 'num_return_sequences', /n 2 and num_return_sequences 3/],
      [
        { repetition_penalty: 1.1, repeat_penalty: 1.2 },
        'repeat_penalty',
        /1\.1 and repeat_penalty/,
      ],
      [{ do_sample: true, temperature: 0 }, 'do_sample', /temperature and a top_p above 0/],
    ];
    for (const [body, param, message] of cases) {
      const error = await refusal(body);
      expect(error.param).to.equal(param);
      expect(error.message).to.match(message);
    }
    expect(await jobOf({ max_tokens: 3, n_predict: 3 })).to.include({ maxTokens: 3 });
  });

  it('tells what a field of several types must be', async () => {
    const stop = Array(17).fill('x');
    for (const field of ['stop', 'stop_sequences']) {
      expect((await refusal({ [field]: stop })).message).to.match(/^stop.* at most 16 texts/);
    }
  });

  it('begins with the end-of-text token for an empty prompt', async () => {
    const eos = tokenizer.eosTokenId ?? -1;
    for (const body of [{ prompt: '' }, { prompt: null }, { prompt: [''] }]) {
      expect((await jobOf({ max_tokens: 1, ...body }))?.prompt).to.deep.equal([eos]);
    }
    expect((await complete({ max_tokens: 1 }, cheap)).status).to.equal(200);
    expect(lastJob?.prompt).to.deep.equal([eos]);
    const both = await complete({ prompt: ['The sea', ''], max_tokens: 4, seed: 5 });
    const alone = await complete({ prompt: '<|endoftext|>', max_tokens: 4, seed: 5 });
    expect(both.json.choices[1].text).to.equal(alone.json.choices[0].text);
    const echoed = await complete({ prompt: '', max_tokens: 0, echo: true, logprobs: 0 }, cheap);
    expect(echoed.json.choices[0].text).to.equal('');
    expect(echoed.json.choices[0].logprobs.text_offset).to.deep.equal([0]);
    for (const prompt of [[], [[]]]) expect((await refusal({ prompt })).param).to.equal('prompt');
  });

  it('leaves special tokens in the text, and out of the prompt, as asked', async () => {
    const eos = tokenizer.eosTokenId ?? -1;
    const body = { prompt: 'A', max_tokens: 2, logit_bias: { [eos]: 100 }, ignore_eos: true };
    const text = async (extra: object) =>
      (await complete({ ...body, ...extra })).json.choices[0].text;
    expect(await text({})).to.equal('');
    expect(await text({ skip_special_tokens: false })).to.equal('<|endoftext|><|endoftext|>');
    const asked: unknown[] = [];
    const encoder = {
      encode: (_: string, { addSpecialTokens }: { addSpecialTokens?: boolean } = {}) => {
        asked.push(addSpecialTokens);
        return [5];
      },
    };
    const own = createServer({
      engine: instantEngine(),
      encoder,
      tokenizer,
      modelName: 'm',
      vocabSize: 100,
    });
    for (const add_special_tokens of [undefined, true, false]) {
      await complete({ prompt: 'a', add_special_tokens }, own);
    }
    expect(asked).to.deep.equal([true, true, false]);
  });

  it('streams events that Python would not split', async () => {
    const separators = '\u0085\u2028\u2029\v\f\x1c\x1d\x1e';
    const lines = fc.array(fc.constantFrom(...separators, 'a', '\n', '\r', 'é'), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(lines, async (characters) => {
        const prompt = `x${characters.join('')}`;
        const payload = { prompt, max_tokens: 0, echo: true, logprobs: 0, stream: true };
        const response = await cheap.inject({ method: 'POST', url: '/v1/completions', payload });
        // As str.splitlines does it.
        const split = [...separators, '\r'].reduce(
          (lines, separator) => lines.flatMap((line) => line.split(separator)),
          response.body.split('\n'),
        );
        const events = split.filter((line) => line !== '' && line !== 'data: [DONE]');
        const texts = events.map((line) => JSON.parse(line.slice('data: '.length)).choices[0].text);
        expect(texts.join('')).to.equal(prompt);
      }),
      { numRuns: 50 },
    );
  });
});
