// Clients that do not read: their answers are dropped in time, and within bounds in all.
import { type IncomingMessage, request } from 'node:http';
import { Socket } from 'node:net';
import { Tokenizer } from '@rene-js/rene';
import { expect } from 'chai';
import type { FastifyInstance } from 'fastify';
import { createServer } from '../../src/serving/server.js';
import type { ServerOptions } from '../../src/serving/server_options.js';
import { SlowReaders } from '../../src/serving/slow_readers.js';
import { instantEngine } from './fake_engines.js';
import { openRaw, rawCompletion } from './raw_http.js';

/** An answer of 15 MB. */
const LARGE = { prompt: Array(4000).fill(5), echo: true, logprobs: 20, n: 12, max_tokens: 0 };

describe('clients that do not read their answers', function () {
  this.timeout(60_000);
  let tokenizer: Tokenizer;
  let app: FastifyInstance;
  let url: string;
  const sockets: Socket[] = [];

  const start = async (options: Partial<ServerOptions>) => {
    app = createServer({
      engine: instantEngine(),
      tokenizer,
      modelName: 'rene-tiny',
      vocabSize: tokenizer.vocabSize,
      ...options,
    });
    url = await app.listen({ port: 0, host: '127.0.0.1' });
  };
  /** Sends a request whose answer is never read. @returns what ends when the server closes it */
  const neglect = async (body: object) => {
    const connected = new Promise<{ closed: Promise<void> }>((resolve) => {
      app.server.once('connection', (socket) => {
        const closed = new Promise<void>((end) => socket.once('close', () => end()));
        resolve({ closed });
      });
    });
    const socket = openRaw(url, rawCompletion(body));
    socket.pause();
    sockets.push(socket);
    return connected;
  };
  /** Whether it happens within some milliseconds. */
  const within = (ms: number, event: Promise<unknown>) =>
    Promise.race([
      event.then(() => true),
      new Promise<boolean>((resolve) => setTimeout(() => resolve(false), ms)),
    ]);
  const post = (body: object) =>
    fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  before(async () => {
    tokenizer = await Tokenizer.fromPretrained('rene-tiny');
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await app.close();
  });

  it('are closed after the write timeout, whole answers and streams', async () => {
    await start({ writeTimeout: 500 });
    const began = performance.now();
    const whole = await neglect(LARGE);
    const stream = await neglect({ ...LARGE, stream: true });
    expect(await within(20_000, Promise.all([whole.closed, stream.closed]))).to.equal(true);
    expect(performance.now() - began).to.be.above(400);
  });

  it('are closed beyond the bound of unsent bytes, and the others are served', async () => {
    await start({ maxUnsent: 25 * 2 ** 20 });
    const first = await neglect(LARGE);
    expect(await within(1200, first.closed)).to.equal(false);
    const second = await neglect(LARGE);
    const third = await neglect(LARGE);
    expect(await within(20_000, first.closed), 'the one that waits longest').to.equal(true);
    expect(await within(1200, Promise.all([second.closed, third.closed]))).to.equal(false);
    const answer = await post({ prompt: 'A', max_tokens: 3 });
    expect(JSON.parse(await answer.text()).usage.completion_tokens).to.equal(3);
  });

  it('of streams are counted too, and have a bound each', async () => {
    await start({ maxUnsent: 8 * 2 ** 20 });
    const stream = await neglect({ ...LARGE, stream: true });
    expect(await within(20_000, stream.closed), 'together').to.equal(true);
    await app.close();
    await start({ maxUnsent: 2 ** 30 });
    const ids = Array.from({ length: tokenizer.vocabSize }, (_, id) => id);
    const long = ids.reduce((a, b) =>
      (tokenizer.token(b) ?? '').length > (tokenizer.token(a) ?? '').length ? b : a,
    );
    const body = { prompt: Array(4000).fill(long), echo: true, logprobs: 0, n: 128, max_tokens: 0 };
    const large = await neglect({ ...body, stream: true });
    expect(await within(20_000, large.closed), 'one client').to.equal(true);
  });

  it('are no longer counted when their answer is over', async () => {
    const readers = new SlowReaders({ writeTimeout: 1000, maxUnsent: 100 });
    const socket = new Socket();
    const stream = readers.stream(socket, [Buffer.alloc(200_000), Buffer.alloc(3)]);
    const held: unknown = Reflect.get(readers, 'held');
    expect(held).to.have.property('size', 1);
    let bytes = 0;
    for await (const part of stream) bytes += part.length;
    expect(bytes).to.equal(200_003);
    expect(held).to.have.property('size', 0);
  });

  it('are closed when they send nothing, or only a part of their headers', async () => {
    await start({ headersTimeout: 200, requestTimeout: 60_000 });
    for (const text of ['GET /health HT', 'GET /health HTTP/1.1\r\nHost: loc']) {
      const socket = openRaw(url, text);
      sockets.push(socket);
      const closed = new Promise<void>((end) => socket.once('close', () => end()));
      socket.resume();
      expect(await within(5000, closed), text).to.equal(true);
    }
  });

  it('are not those that read slowly', async () => {
    await start({ writeTimeout: 1000 });
    const response = await new Promise<IncomingMessage>((resolve) => {
      const headers = { 'content-type': 'application/json' };
      request(`${url}/v1/completions`, { method: 'POST', headers }, resolve).end(
        JSON.stringify(LARGE),
      );
    });
    let bytes = 0;
    let pauses = 0;
    for await (const part of response) {
      bytes += part.length;
      if (bytes / 3e6 < pauses) continue;
      pauses++;
      await new Promise((resolve) => setTimeout(resolve, 400));
    }
    expect(bytes).to.equal(Number(response.headers['content-length']));
    expect(pauses * 400, 'milliseconds').to.be.above(1000);
  });

  it('are watched on other routes too, which send long answers in chunks', async () => {
    await start({});
    const prompt = 'one two three '.repeat(30_000);
    const { stream } = SlowReaders.prototype;
    let streams = 0;
    SlowReaders.prototype.stream = function (socket, buffers) {
      streams++;
      return stream.call(this, socket, buffers);
    };
    const response = await fetch(`${url}/tokenize`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt }),
    }).finally(() => {
      SlowReaders.prototype.stream = stream;
    });
    const text = await response.text();
    expect(streams).to.equal(1);
    expect(text.length)
      .to.be.above(200_000)
      .and.equal(Number(response.headers.get('content-length')));
    expect(JSON.parse(text).tokens).to.deep.equal(tokenizer.encode(prompt));
  });
});
