// The model in its thread: HTTP stays quick, clients that leave free their place, shutdown is clean.
import { request } from 'node:http';
import { Worker } from 'node:worker_threads';
import { Tokenizer, TokenizerError } from '@rene-js/rene';
import { errorOf, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import type { FastifyInstance } from 'fastify';
import { modelFolder } from '../../src/commands/load.js';
import { createServer } from '../../src/serving/server.js';
import { TokenizerThread } from '../../src/serving/tokenizer_thread.js';
import { ServingError, WorkerEngine } from '../../src/serving/worker_engine.js';

describe('a server whose model runs in a worker', () => {
  const folder = temporaryFolders();
  let engine: WorkerEngine;
  let encoder: TokenizerThread;
  let app: FastifyInstance;
  let url: string;

  const post = async (body: object) => {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return response.text();
  };
  const settings = async () => {
    const dir = await modelFolder(undefined);
    // This is about threads and HTTP: on the emulated device 64 clients would wait for minutes.
    const backend = process.env.RENE_CUDA === 'emulated' ? 'simd' : undefined;
    return { dir, tokenizerPath: `${dir}/tokenizer.json`, backend };
  };

  before(async () => {
    const start = await settings();
    engine = await WorkerEngine.start({ ...start, slots: 8 });
    const tokenizer = await Tokenizer.fromFile(start.tokenizerPath);
    encoder = new TokenizerThread(start.tokenizerPath, tokenizer);
    const { vocabSize } = engine;
    app = createServer({ engine, tokenizer, encoder, modelName: 'rene-tiny', vocabSize });
    url = await app.listen({ port: 0, host: '127.0.0.1' });
  });
  after(async () => {
    await app?.close();
    await Promise.all([engine?.close(), encoder?.close()]);
  });

  it('gives 64 concurrent clients what each gets alone, and keeps no memory', async () => {
    const bodies = Array.from({ length: 16 }, (_, i) => ({
      prompt: ['A bird', 'The sea is', 'Rene Descartes was'][i % 3],
      max_tokens: 3 + (i % 5),
      seed: i,
      temperature: i % 4 === 0 ? 0 : 1,
      logprobs: i % 2,
      stream: i % 4 !== 1,
    }));
    const strip = (text: string) => text.replace(/"(id|created|cached_tokens)":("[^"]*"|\d+)/g, '');
    const alone: string[] = [];
    for (const body of bodies) alone.push(strip(await post(body)));
    const { tensors } = await engine.memory();
    // More than there are slots: they join and leave in between.
    const together = await Promise.all(
      Array.from({ length: 64 }, async (_, i) => strip(await post(bodies[i % 16] ?? {}))),
    );
    expect(together).to.deep.equal([alone, alone, alone, alone].flat());
    expect((await engine.memory()).tensors).to.equal(tensors);
    expect(engine.load()).to.include({ active: 0, waiting: 0, slots: 8 });
    expect(engine.load().cacheBytes).to.be.above(0);
  });

  it('tokenises long texts beside HTTP, one after another, and says what is wrong', async () => {
    const text = 'The quick brown fox. '.repeat(2000);
    const [long, short] = await Promise.all([encoder.encode(text), encoder.encode('A bird')]);
    const tokenizer = await Tokenizer.fromPretrained('rene-tiny');
    expect(long).to.deep.equal(tokenizer.encode(text));
    expect(short).to.deep.equal(tokenizer.encode('A bird'));
    const broken = new TokenizerThread('/nowhere/tokenizer.json', tokenizer);
    expect(broken.encode('A bird')).to.deep.equal(short);
    const error = await errorOf(TokenizerError, () => broken.encode(text));
    expect(error.message).to.match(/tokenizer's thread failed: .*nowhere/);
    await broken.close();
  });

  it('frees the place of a client that goes away', async () => {
    const body = { prompt: 'A', max_tokens: 4000, ignore_eos: true, stream: true, n: 2 };
    await new Promise<void>((resolve) => {
      const client = request(`${url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
      });
      client.on('response', (response) => {
        response.once('data', () => {
          client.destroy();
          resolve();
        });
      });
      client.on('error', () => {});
      client.end(JSON.stringify(body));
    });
    const deadline = Date.now() + 30_000;
    while (engine.load().active + engine.load().waiting > 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(engine.load()).to.include({ active: 0, waiting: 0 });
  });

  it('answers while the model reads a long prompt', async () => {
    const long = post({ prompt: Array(4000).fill(5), max_tokens: 2 });
    let answered = 0;
    let isRead = false;
    void long.then(() => {
      isRead = true;
    });
    while (!isRead) {
      await (await fetch(`${url}/health`)).text();
      answered++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(answered).to.be.above(3);
    expect(JSON.parse(await long).usage.prompt_tokens).to.equal(4000);
  });

  it('says why a model cannot be loaded', async () => {
    const start = { ...(await settings()), slots: 1 };
    const error = await errorOf(ServingError, () =>
      WorkerEngine.start({ ...start, dir: '/nowhere' }),
    );
    expect(error.message).to.include('/nowhere: no such folder');
  });

  it('tells its jobs when its thread ends', async () => {
    const start = { ...(await settings()), slots: 1 };
    const other = await WorkerEngine.start(start);
    const told = new Promise<string>((resolve) => {
      const job = { n: 1, maxTokens: 3000, temperature: 0, topP: 1, stop: [], ignoreEos: true };
      other.submit({ ...job, prompt: [5] }, (event) => {
        if (event.type === 'error') resolve(event.message);
        if (event.type === 'token') void other.close();
      });
    });
    expect(await told).to.equal('the server is shutting down');
    expect(other.downReason).to.equal('the server is shutting down');
  });

  // The last test: it ends the engine of all.
  it('notices a thread that ends without an error', async () => {
    let thread: Worker | undefined;
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function (message) {
      thread = this;
      postMessage.call(this, message);
    };
    await engine.memory().finally(() => {
      Worker.prototype.postMessage = postMessage;
    });
    await thread?.terminate();
    const late = new Promise<string>((resolve) =>
      setTimeout(() => resolve('not noticed'), 30_000).unref(),
    );
    expect(await Promise.race([engine.down, late])).to.equal("the model's thread has ended");
    const health = await fetch(`${url}/health`);
    expect([health.status, JSON.parse(await health.text()).status]).to.deep.equal([503, 'down']);
  });

  it('goes on from states that an earlier server left in a folder', async () => {
    const prefixCacheDir = folder();
    const job = { prompt: Array.from({ length: 40 }, (_, i) => 60 + i), n: 1, maxTokens: 5 };
    const run = async () => {
      const other = await WorkerEngine.start({ ...(await settings()), slots: 2, prefixCacheDir });
      const ids: number[] = [];
      let cached = 0;
      await new Promise<void>((resolve, reject) => {
        const options = { temperature: 0, topP: 1, stop: [], ignoreEos: true };
        other.submit({ ...job, ...options }, (event) => {
          if (event.type === 'prompt' && event.cached) cached += event.tokens;
          if (event.type === 'token') ids.push(event.id);
          if (event.type === 'end') resolve();
          if (event.type === 'error') reject(new Error(event.message));
        });
      });
      await other.close();
      return { ids, cached };
    };
    const first = await run();
    expect(first).to.have.property('cached', 0);
    expect(await run()).to.deep.equal({ ids: first.ids, cached: 40 });
  });
});
