// The adapter for completions servers: retries, and errors.
import { createServer, type Server } from 'node:http';
import { text } from 'node:stream/consumers';
import { errorOf } from '@rene-js/testing';
import { expect } from 'chai';
import {
  CompletionsServer,
  type CompletionsServerOptions,
} from '../../src/evaluation/adapters/completions_server.js';
import { EvaluationError } from '../../src/evaluation/errors.js';

/** [status, body] of each response in turn. The last one repeats. */
type Answers = readonly (readonly [status: number, body: string])[];

const scores = JSON.stringify({
  choices: [
    {
      index: 0,
      logprobs: {
        token_logprobs: [null, -4.25, -1.5],
        top_logprobs: [null, { ' first': -2.125 }, { ',': -1.5 }],
      },
    },
  ],
});

describe('the completions server adapter', () => {
  let server: Server;
  let answers: Answers;
  let models: Answers[number];
  let asked = 0;
  /** Token ids of each received prompt. */
  let prompts: number[][] = [];

  before((done) => {
    server = createServer(async (request, response) => {
      if (request.url === '/v1/models') {
        response.writeHead(models[0]).end(models[1]);
        return;
      }
      prompts = JSON.parse(await text(request)).prompt;
      const [status, body] = answers[Math.min(asked++, answers.length - 1)] ?? [500, ''];
      response.writeHead(status, { 'retry-after': '0' }).end(body);
    }).listen(0, '127.0.0.1', done);
  });
  after((done) => {
    server.close(done);
  });

  beforeEach(() => {
    models = [404, '{"error":{}}'];
  });

  function connect(options: Partial<CompletionsServerOptions> = {}) {
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const tokenizer = { encode: () => [], eosTokenId: 0 };
    const url = `http://127.0.0.1:${port}/v1/completions`;
    return CompletionsServer.connect(url, { model: 'tiny', tokenizer, ...options });
  }

  async function score(given: Answers) {
    answers = given;
    asked = 0;
    const model = await connect();
    return model.loglikelihoods([{ contextIds: [510], continuationIds: [637] }]);
  }

  it('retries if the server is busy', async () => {
    expect(
      await score([
        [429, '{"error":{}}'],
        [200, scores],
      ]),
    ).to.deep.equal([{ loglikelihood: -4.25, isGreedy: false }]);
    expect(asked).to.equal(2);
  });

  it('does not retry a refused request', async () => {
    const error = await errorOf(EvaluationError, () => score([[400, 'no such model']]));
    expect(error.message).to.match(/HTTP 400: no such model/);
    expect(asked).to.equal(1);
  });

  it("gives up after three tries, with the server's last message", async () => {
    const error = await errorOf(EvaluationError, () =>
      score([
        [500, 'first'],
        [200, 'no JSON'],
      ]),
    );
    expect(error.message).to.match(/expected an object of JSON/);
    expect(asked).to.equal(3);
  });

  it('truncates prompts to the length that the server states, unless another one is given', async () => {
    const listing = (id: string, length: unknown) =>
      [200, JSON.stringify({ data: [{ id: 'other' }, { id, max_model_len: length }] })] as const;
    const longest = async (given: Answers[number], options?: Partial<CompletionsServerOptions>) => {
      models = given;
      return (await connect(options)).maxLength + 1; // of a prompt, whose last token is not fed
    };
    // One token is left for the one that the server must generate.
    expect(await longest(listing('tiny', 100))).to.equal(99);
    expect(await longest(listing('tiny', 100), { maxLength: 50 })).to.equal(50);
    for (const silent of [
      listing('tiny', undefined),
      listing('tiny', 'long'),
      listing('another', 100),
      [200, '{}'] as const,
      [404, 'not found'] as const,
    ]) {
      expect(await longest(silent)).to.equal(2047);
    }
    models = listing('tiny', 4);
    answers = [[200, scores]];
    const model = await connect();
    await model.loglikelihoods([{ contextIds: [1, 2, 3, 4, 5], continuationIds: [6] }]);
    expect(prompts).to.deep.equal([[4, 5, 6]]);
  });
});
