// The adapter for completions servers: which failures are tried again, and what the others say.
import { createServer, type Server } from 'node:http';
import { expect } from 'chai';
import { CompletionsServer } from '../../src/evaluation/adapters/completions_server.js';
import { EvaluationError } from '../../src/evaluation/errors.js';
import { errorOf } from '../checkpoint/fixtures.js';

/** [status, body] of each answer in turn; the last one stays. */
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
  let asked = 0;

  before((done) => {
    server = createServer((_, response) => {
      const [status, body] = answers[Math.min(asked++, answers.length - 1)] ?? [500, ''];
      response.writeHead(status, { 'retry-after': '0' }).end(body);
    }).listen(0, '127.0.0.1', done);
  });
  after((done) => {
    server.close(done);
  });

  async function score(given: Answers) {
    answers = given;
    asked = 0;
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const tokenizer = { encode: () => [], eosTokenId: 0 };
    const model = await CompletionsServer.connect(`http://127.0.0.1:${port}/v1/completions`, {
      model: 'tiny',
      tokenizer,
    });
    return model.loglikelihoods([{ contextIds: [510], continuationIds: [637] }]);
  }

  it('asks a busy server again', async () => {
    expect(
      await score([
        [429, '{"error":{}}'],
        [200, scores],
      ]),
    ).to.deep.equal([{ loglikelihood: -4.25, isGreedy: false }]);
    expect(asked).to.equal(2);
  });

  it('does not repeat a request that is refused', async () => {
    const error = await errorOf(EvaluationError, () => score([[400, 'no such model']]));
    expect(error.message).to.match(/HTTP 400: no such model/);
    expect(asked).to.equal(1);
  });

  it('gives up after three tries, with what the server said last', async () => {
    const error = await errorOf(EvaluationError, () =>
      score([
        [500, 'first'],
        [200, 'no JSON'],
      ]),
    );
    expect(error.message).to.match(/expected an object of JSON/);
    expect(asked).to.equal(3);
  });
});
