// What the harness's own client sent and what it made of the answers, replayed.
import { useBackend } from '@rene-js/layers';
import { ReneLMHeadModel, reneConfig, Tokenizer } from '@rene-js/rene';
import { shared } from '@rene-js/testing';
import { expect } from 'chai';
import Fastify, { type FastifyInstance } from 'fastify';
import { CompletionsServer } from '../../src/evaluation/adapters/completions_server.js';
import { encodeRequest } from '../../src/evaluation/requests.js';
import { ReneScorer } from '../../src/evaluation/scoring/rene_scorer.js';
import { type Doc, isDoc } from '../../src/evaluation/task.js';
import { BatchEngine } from '../../src/serving/batch_engine.js';
import { createServer } from '../../src/serving/server.js';
import { referenceJson, skipWithoutReferences } from '../evaluation/references.js';

interface Exchange {
  method: string;
  path: string;
  body: Doc | undefined;
  response: Doc;
}

function configurations(): { name: string; capture: Doc; http: Exchange[] }[] {
  return Object.entries(referenceJson('local_completions_capture')).map(([name, capture]) => {
    if (!isDoc(capture) || !Array.isArray(capture.http)) throw new Error(`no traffic in ${name}`);
    const http = capture.http.map((entry: unknown): Exchange => {
      const { method, path, body, response } = isDoc(entry) ? entry : {};
      return {
        method: String(method),
        path: String(path),
        body: isDoc(body) ? body : undefined,
        response: isDoc(response) ? response : {},
      };
    });
    return { name, capture, http };
  });
}

function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new Error('expected a list');
  return value;
}

const field = (value: unknown, key: string): unknown => (isDoc(value) ? value[key] : undefined);

describe("the harness's local-completions client", () => {
  let tokenizer: Tokenizer;
  let model: ReneLMHeadModel;
  let app: FastifyInstance;

  before(async function () {
    skipWithoutReferences(this);
    await useBackend();
    tokenizer = await Tokenizer.fromFile(shared('tokenizers/olmo-dolma-v1_5.json'));
    // A small model of the captured vocabulary, none of it padding.
    const config = reneConfig({
      dModel: 16,
      nLayer: 2,
      vocabSize: 50_288,
      ssm: { headDim: 8, dState: 4 },
    });
    model = await ReneLMHeadModel.fromConfig(config);
    const engine = new BatchEngine(model, tokenizer, 8);
    app = createServer({ engine, tokenizer, modelName: 'olmo-1b', vocabSize: 50_288 });
    await app.listen({ port: 0, host: '127.0.0.1' });
  });
  after(async () => {
    await app?.close();
    model?.dispose();
  });

  it('gets from our server all that it reads, in every configuration', async () => {
    const scorer = new ReneScorer(model, tokenizer);
    for (const { name, http } of configurations()) {
      for (const { method, path, body, response } of http) {
        const got = await app.inject({
          method: method === 'GET' ? 'GET' : 'POST',
          url: path,
          ...(body && { payload: body }),
        });
        expect(got.statusCode, `${name} ${path}`).to.equal(200);
        const json = got.json();
        if (path === '/tokenizer_info') expect(json.eos_token).to.equal('<|endoftext|>');
        if (path === '/tokenize' && response.tokens) {
          expect(json.tokens).to.deep.equal(response.tokens);
        }
        if (path !== '/v1/completions') continue;
        const prompts = Array.isArray(body?.prompt) ? body.prompt : [body?.prompt];
        const choices = list(json.choices);
        expect(choices).to.have.length(prompts.length);
        for (const [i, choice] of choices.entries()) {
          const captured = list(response.choices).find((c) => field(c, 'index') === i);
          await checkChoice(choice, captured, i, scorer);
        }
      }
    }
  });

  /** Tokens and offsets of the prompt are the captured ones; scores are those of `rene eval`. */
  async function checkChoice(
    choice: unknown,
    captured: unknown,
    i: number,
    scorer: ReneScorer,
  ): Promise<void> {
    const logprobs = field(choice, 'logprobs');
    const tokens = list(field(logprobs, 'tokens'));
    const values = list(field(logprobs, 'token_logprobs'));
    const tops = list(field(logprobs, 'top_logprobs'));
    const expected = list(field(field(captured, 'logprobs'), 'tokens'));
    const offsets = list(field(field(captured, 'logprobs'), 'text_offset'));
    const length = expected.length - 1;
    expect(field(choice, 'index')).to.equal(i);
    expect(tokens.slice(0, length)).to.deep.equal(expected.slice(0, length));
    expect(list(field(logprobs, 'text_offset')).slice(0, length)).to.deep.equal(
      offsets.slice(0, length),
    );
    for (const entries of [tokens, values, tops]) expect(entries).to.have.length(length + 1);
    expect([values[0], tops[0]]).to.deep.equal([null, null]);
    const ids = tokenizer.encode(tokens.slice(0, length).join(''));
    expect(ids).to.have.length(length);
    const request = { contextIds: ids.slice(0, 3), continuationIds: ids.slice(3) };
    const [score] = await scorer.loglikelihoods([request]);
    const sum = values.slice(3, -1).reduce((total: number, value) => total + Number(value), 0);
    expect(sum).to.be.closeTo(score?.loglikelihood ?? Number.NaN, 1e-4);
    const greedy = tops
      .slice(3, -1)
      .every((top, k) => Math.max(...Object.values(top ?? {}).map(Number)) === values[3 + k]);
    expect(greedy).to.equal(score?.isGreedy);
  }

  it('is equalled by our adapter, which asks our server and scores as the model itself', async () => {
    const [address] = app.addresses();
    if (typeof address !== 'object') {
      throw new Error('the server listens at no address');
    }
    const url = `http://127.0.0.1:${address.port}/v1/completions`;
    const texts = [
      { context: 'The man turned on the faucet therefore', continuation: '  water flowed.' },
      { context: 'Question: Which is red?\nAnswer:', continuation: ' blood' },
      { context: '', continuation: ' Hello' },
    ];
    for (const own of [tokenizer, undefined]) {
      const adapter = await CompletionsServer.connect(url, {
        model: 'olmo-1b',
        tokenizer: own,
        batchSize: 2,
        concurrency: 2,
      });
      expect(adapter.prefixTokenId).to.equal(50_279);
      const requests = await Promise.all(texts.map((text) => encodeRequest(text, adapter)));
      const found = await adapter.loglikelihoods(requests);
      const expected = await new ReneScorer(model, tokenizer).loglikelihoods(requests);
      found.forEach(({ loglikelihood, isGreedy }, i) => {
        expect(loglikelihood).to.be.closeTo(expected[i]?.loglikelihood ?? Number.NaN, 1e-4);
        expect(isGreedy).to.equal(expected[i]?.isGreedy);
      });
    }
  });

  it('is equalled by our adapter on the captured answers', async () => {
    for (const { name, capture, http } of configurations()) {
      const { tokenized_requests, max_length } = isDoc(capture.model_args)
        ? capture.model_args
        : {};
      if (tokenized_requests === false) continue; // ours always sends tokens
      const answers = new Map<string, Doc>();
      for (const { body, response } of http) {
        if (body?.echo === true) {
          list(body.prompt).forEach((prompt, i) => {
            const choice = list(response.choices).find((c) => field(c, 'index') === i);
            if (isDoc(choice)) answers.set(JSON.stringify(prompt), choice);
          });
        }
      }
      const fake = Fastify();
      fake.post<{ Body: { prompt: unknown[] } }>('/v1/completions', async ({ body }) => ({
        // In reverse order: an answer's index counts, not its place.
        choices: body.prompt
          .map((prompt, index) => ({ ...answers.get(JSON.stringify(prompt)), index }))
          .toReversed(),
      }));
      const url = await fake.listen({ port: 0, host: '127.0.0.1' });
      const adapter = await CompletionsServer.connect(`${url}/v1/completions`, {
        model: 'olmo-1b',
        tokenizer,
        maxLength: typeof max_length === 'number' ? max_length - 1 : undefined,
      });
      const requests = [];
      for (const given of list(capture.requests_given)) {
        const [context, continuation] = list(given).map(String);
        requests.push(
          await encodeRequest(
            { context: context ?? '', continuation: continuation ?? '' },
            adapter,
          ),
        );
      }
      const found = await adapter.loglikelihoods(requests);
      const pairs = found.map(({ loglikelihood, isGreedy }) => [loglikelihood, isGreedy]);
      expect(pairs, name).to.deep.equal(capture.client_result);
      await fake.close();
    }
  });
});
