// Long texts do not keep others from the tokenizer: turns, cancelling, limits of /tokenize.
import { once } from 'node:events';
import { request } from 'node:http';
import { Worker } from 'node:worker_threads';
import { Tokenizer, TokenizerError } from '@rene-js/rene';
import { resolveTokenizer } from '@rene-js/rene/internal';
import { errorOf } from '@rene-js/testing';
import { expect } from 'chai';
import type { FastifyInstance } from 'fastify';
import { createServer } from '../../src/serving/server.js';
import { type EncodeResult, TokenizerTasks } from '../../src/serving/tokenizer_tasks.js';
import {
  type PromptEncodeOptions,
  type PromptEncoder,
  TokenizerThread,
  TokenizerThreadError,
} from '../../src/serving/tokenizer_thread.js';

/** A text that takes so many steps. */
function* steps(count: number): Generator<void, number[], void> {
  for (let i = 0; i < count; i++) yield;
  return [count];
}

/** The results in their order; a turn has `length` steps. */
function results(tasks: TokenizerTasks, length: number): EncodeResult[] {
  const found: EncodeResult[] = [];
  while (tasks.size > 0) {
    let left = length;
    const result = tasks.turn(() => --left <= 0);
    if (result) found.push(result);
  }
  return found;
}

describe('turns of the tokenizer', () => {
  it('short texts come first, long ones get on as well', () => {
    const tasks = new TokenizerTasks();
    const lengths = [1_000_000, 900_000, 3000, 2000, 5];
    lengths.forEach((length, id) => {
      tasks.add({ id, length, steps: steps(length / 100) });
    });
    expect(results(tasks, 10).map(({ id }) => id)).to.deep.equal([4, 3, 2, 1, 0]);
  });

  it('a text that comes later waits for a few turns only', () => {
    const tasks = new TokenizerTasks();
    for (let id = 0; id < 50; id++) tasks.add({ id, length: 1e6, steps: steps(1e6) });
    for (let i = 0; i < 7; i++) tasks.turn(() => true);
    tasks.add({ id: 99, length: 1000, steps: steps(2) });
    const first = Array.from({ length: 5 }, () => tasks.turn(() => true)).find((r) => r);
    expect(first).to.deep.equal({ id: 99, ids: [2] });
  });

  it('the oldest ends while shorter ones keep coming', () => {
    const tasks = new TokenizerTasks();
    tasks.add({ id: 0, length: 1000, steps: steps(20) });
    for (let id = 1; id < 200; id++) {
      tasks.add({ id, length: 10, steps: steps(2) });
      if (tasks.turn(() => true)?.id === 0) return;
    }
    expect.fail('the oldest text was not encoded');
  });

  it('a cancelled text takes no more turns, an error ends its own text', () => {
    const tasks = new TokenizerTasks();
    let taken = 0;
    const counted = function* () {
      for (;;) {
        taken++;
        yield;
      }
    };
    const failing = {
      next: () => {
        throw new TokenizerError('no');
      },
    };
    tasks.add({ id: 1, length: 5, steps: counted() });
    tasks.turn(() => true);
    tasks.cancel(1);
    tasks.add({ id: 2, length: 5, steps: failing });
    tasks.add({ id: 3, length: 6, steps: steps(1) });
    const [failed, done] = results(tasks, 1);
    expect(failed).to.have.property('error').that.is.instanceOf(TokenizerError);
    expect(done).to.deep.equal({ id: 3, ids: [1] });
    expect(taken).to.equal(1);
  });
});

describe('the thread of the tokenizer', () => {
  let thread: TokenizerThread;
  let tokenizer: Tokenizer;
  before(async () => {
    const path = await resolveTokenizer('rene-tiny');
    tokenizer = await Tokenizer.fromFile(path);
    thread = new TokenizerThread(path, tokenizer);
  });
  after(() => thread.close());

  it('encodes a prompt while it encodes longer ones, and drops those of clients that left', async () => {
    const client = new AbortController();
    const ended: string[] = [];
    const long = Promise.resolve(thread.encode('z'.repeat(300_000))).then((ids) => {
      ended.push('long');
      return ids;
    });
    const left = thread.encode('yz'.repeat(2_000_000), { signal: client.signal });
    const text = 'The sea is deep. '.repeat(200);
    const prompt = Promise.resolve(thread.encode(text)).then((ids) => {
      ended.push('prompt');
      return ids;
    });
    client.abort(new Error('gone'));
    expect((await errorOf(Error, () => left)).message).to.equal('gone');
    expect(await prompt).to.deep.equal(tokenizer.encode(text));
    expect(await long).to.deep.equal(tokenizer.encode('z'.repeat(300_000)));
    expect(ended).to.deep.equal(['prompt', 'long']);
    const late = await errorOf(Error, () => thread.encode(text, { signal: client.signal }));
    expect(late.message).to.equal('gone');
  });

  it('tells the thread which text nobody waits for any more', async () => {
    const client = new AbortController();
    const posted: { type: string; id: number }[] = [];
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function (request) {
      posted.push(request);
      postMessage.call(this, request);
    };
    try {
      const left = thread.encode('xy'.repeat(2000), { signal: client.signal });
      const kept = thread.encode('yx'.repeat(2000));
      client.abort(new Error('gone'));
      await errorOf(Error, () => left);
      await kept;
    } finally {
      Worker.prototype.postMessage = postMessage;
    }
    const [first, second, ...others] = posted;
    expect([first?.type, second?.type]).to.deep.equal(['encode', 'encode']);
    expect(others).to.deep.equal([{ type: 'cancel', id: first?.id }]);
  });

  it('encodes short texts too where an expression may be slow', async () => {
    const path = await resolveTokenizer('rene-tiny');
    const here = { isFast: false, encode: () => expect.fail('encoded on the HTTP thread') };
    const slow = new TokenizerThread(path, here);
    expect(await slow.encode('The sea')).to.deep.equal(tokenizer.encode('The sea'));
    await slow.close();
  });

  it('is started again after it has died, which those that waited are told', async () => {
    let worker: Worker | undefined;
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function (request) {
      worker = this;
      postMessage.call(this, request);
    };
    try {
      const waiting = thread.encode('ab'.repeat(100_000));
      const told = errorOf(TokenizerThreadError, () => waiting);
      await worker?.terminate();
      expect((await told).message).to.equal("the tokenizer's thread has ended");
    } finally {
      Worker.prototype.postMessage = postMessage;
    }
    const text = 'ba'.repeat(1000);
    expect(await thread.encode(text)).to.deep.equal(tokenizer.encode(text));
  });
});

describe('/tokenize', () => {
  let app: FastifyInstance;
  let tokenizer: Tokenizer;
  let encoder: PromptEncoder;
  /** Turns of the event loop, and how many there were when the answer was ready. */
  let turns = 0;
  let turnsAtAnswer = 0;
  const tokenize = (prompt: string) =>
    app.inject({ method: 'POST', url: '/tokenize', payload: { prompt } });
  before(async () => {
    tokenizer = await Tokenizer.fromPretrained('rene-tiny');
    const engine = {
      submit: () => () => {},
      load: () => ({ active: 0, waiting: 0, slots: 1 }),
    };
    app = createServer({
      engine,
      tokenizer,
      encoder: { encode: (text, options) => encoder.encode(text, options) },
      modelName: 'none',
      vocabSize: 10,
      bodyLimit: 16 * 1024 * 1024,
    });
    app.addHook('onSend', async () => {
      turnsAtAnswer = turns;
    });
  });
  after(() => app.close());

  it('refuses a text that is too long, and too much at once', async () => {
    encoder = { encode: () => [1, 2] };
    const long = await tokenize('ab'.repeat(500_001));
    expect(long.statusCode).to.equal(400);
    expect(long.json().error.message).to.equal(
      'prompt: expected at most 1000000 characters, found 1000002',
    );
    const waiting: (() => void)[] = [];
    encoder = { encode: () => new Promise((resolve) => waiting.push(() => resolve([3]))) };
    const answers = Array.from({ length: 9 }, () => tokenize('x'.repeat(1_000_000)));
    const busy = await Promise.race(answers);
    expect(busy.statusCode).to.equal(429);
    for (const end of waiting) end();
    const statuses = (await Promise.all(answers)).map(({ statusCode }) => statusCode);
    expect(statuses.filter((status) => status === 200)).to.have.length(8);
    encoder = { encode: () => [1, 2] };
    expect((await tokenize('x'.repeat(1_000_000))).statusCode).to.equal(200);
  });

  it('gives other requests their turn while it writes a long answer', async () => {
    const ids = Array.from({ length: 1_000_000 }, (_, i) => i % 9000);
    turns = 0;
    let isDone = false;
    const count = () => {
      turns++;
      if (!isDone) setImmediate(count);
    };
    encoder = {
      encode: () => {
        setImmediate(count);
        return ids;
      },
    };
    const answer = await tokenize('x'.repeat(1_000_000));
    isDone = true;
    expect(answer.headers['content-type']).to.equal('application/json; charset=utf-8');
    expect(answer.json()).to.deep.equal({ tokens: ids, count: 1_000_000, max_model_len: 4096 });
    expect(turnsAtAnswer).to.be.above(1_000_000 / 70_000);
    encoder = { encode: () => [] };
    expect((await tokenize('')).json()).to.include({ count: 0 });
  });

  it('ends the work when the client leaves', async () => {
    let options: PromptEncodeOptions | undefined;
    const begun = new Promise<void>((begin) => {
      encoder = {
        encode: (_, given) => {
          options = given;
          begin();
          return new Promise(() => {});
        },
      };
    });
    const address = await app.listen({ port: 0 });
    const client = request(`${address}/tokenize`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    });
    client.on('error', () => {});
    client.end(JSON.stringify({ prompt: 'x'.repeat(5000) }));
    await begun;
    const signal = options?.signal;
    if (!signal) return expect.fail('no signal');
    expect(signal.aborted).to.equal(false);
    const aborted = once(signal, 'abort');
    client.destroy();
    await aborted;
  });

  it('says what is wrong with a text that cannot be encoded', async () => {
    encoder = {
      encode: () => {
        throw new TokenizerError('unknown text cannot be encoded');
      },
    };
    const answer = await tokenize('a');
    expect(answer.statusCode).to.equal(400);
    expect(answer.json().error.message).to.contain('unknown text cannot be encoded');
  });
});
