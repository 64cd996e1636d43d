// What the server answers before any route, and to pages of other origins.

import { Tokenizer } from '@rene-js/rene';
import { expect } from 'chai';
import type { FastifyInstance } from 'fastify';
import { network } from '../../src/serving/api_keys.js';
import type { Engine } from '../../src/serving/job.js';
import { createServer } from '../../src/serving/server.js';
import type { ServerOptions } from '../../src/serving/server_options.js';
import { idleEngine, instantEngine } from './fake_engines.js';
import { openRaw, rawCompletion, sendRaw } from './raw_http.js';

describe('HTTP', () => {
  let tokenizer: Tokenizer;
  const open: FastifyInstance[] = [];

  const server = (options: Partial<ServerOptions> = {}) => {
    const app = createServer({
      engine: instantEngine(),
      tokenizer,
      modelName: 'rene-tiny',
      vocabSize: tokenizer.vocabSize,
      ...options,
    });
    open.push(app);
    return app;
  };
  const listen = (options: Partial<ServerOptions> = {}, host = '127.0.0.1') =>
    server(options).listen({ port: 0, host });
  const expectError = (body: string | undefined, message: RegExp) => {
    const { error } = JSON.parse(body ?? '{}');
    expect(Object.keys(error)).to.deep.equal(['message', 'type', 'param', 'code']);
    expect(error.message).to.match(message);
  };

  before(async () => {
    tokenizer = await Tokenizer.fromPretrained('rene-tiny');
  });
  afterEach(() => Promise.all(open.splice(0).map((app) => app.close())));

  it('tells errors of the transport as the API tells its own', async () => {
    const url = await listen({ bodyLimit: 500 });
    // Apart from the others, which a busy machine may be late with.
    const hasty = await listen({ headersTimeout: 200, requestTimeout: 400 });
    const post = 'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n';
    const json = 'Content-Type: application/json\r\n';
    const cases: [string, number, RegExp][] = [
      ['', 408, /took too long/],
      ['GET /health HTTP/1.1\r\nHost: local', 408, /took too long/],
      [`${post}${json}Content-Length: 50\r\n\r\n{"prompt":`, 408, /took too long/],
      [`${post}${json}Content-Length: 501\r\n\r\n`, 413, /at most 500 bytes/],
      [
        `${post}${json}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n${'a'.repeat(1024)}\r\n0\r\n\r\n`,
        413,
        /at most 500 bytes/,
      ],
      [
        `${post}Connection: close\r\nContent-Type: text/csv\r\nContent-Length: 3\r\n\r\na,b`,
        415,
        /send JSON/,
      ],
      [`${post}Connection: close\r\nContent-Length: 2\r\n\r\n{}`, 415, /send JSON/],
      [`GET /health HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431, /16384 bytes/],
      [`GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431, /16384 bytes/],
      ['rubbish\r\n\r\n', 400, /not an HTTP request/],
      [`${post}Content-Length: -1\r\n\r\n{}`, 400, /not an HTTP request/],
      ['GET /health HTTP/1.1\r\nConnection: close\r\n\r\n', 400, /Host is missing/],
    ];
    await Promise.all(
      cases.map(async ([text, status, message]) => {
        const answer = await sendRaw(status === 408 ? hasty : url, text);
        expect(answer?.status, text.slice(0, 60)).to.equal(status);
        expect(answer?.headers['content-type']).to.match(/^application\/json/);
        expect(answer?.headers['x-request-id']).to.match(/^req-[\w-]{36}$/);
        expectError(answer?.body, message);
      }),
    );
    const expecting = `${post}Connection: close\r\nExpect: a miracle\r\n${json}Content-Length: 28\r\n\r\n`;
    const answer = await sendRaw(url, `${expecting}{"prompt":"A","max_tokens":1}`.slice(0, -1));
    expect(answer?.status).to.be.oneOf([200, 400]);
  });

  it('does not write an error into an answer', async () => {
    const submit: Engine['submit'] = (_, onEvent) => {
      onEvent({ type: 'token', k: 0, id: 300, logProb: undefined, finishReason: undefined });
      return () => {};
    };
    const url = await listen({ engine: { ...idleEngine, submit } });
    const socket = openRaw(url, rawCompletion({ prompt: 'A', stream: true }));
    let received = '';
    socket.setEncoding('utf8').on('data', (data) => {
      if (received === '') socket.write('rubbish\r\n\r\n');
      received += data;
    });
    await new Promise((resolve) => socket.once('close', resolve));
    expect(received).to.match(/^HTTP\/1\.1 200 OK/);
    expect(received.match(/HTTP/g)).to.have.length(1);
  });

  it('answers only its own host names on a loopback address without a key', async () => {
    const get = (host: string) =>
      `GET /health HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
    const url = await listen();
    const { port } = new URL(url);
    for (const host of ['localhost', `LOCALHOST:${port}`, 'localhost.', 'app.localhost:3000']) {
      expect((await sendRaw(url, get(host)))?.status, host).to.equal(200);
    }
    for (const host of [`127.0.0.1:${port}`, '127.9.8.7', '[::1]:8000', '192.168.1.5']) {
      expect((await sendRaw(url, get(host)))?.status, host).to.equal(200);
    }
    const foreign = ['evil.example', `rebind.evil.example:${port}`, 'x', 'localhost.evil.example'];
    const odd = ['127.0.0.1.evil.example', 'evil@127.0.0.1', 'a b', '/', 'notlocalhost'];
    for (const host of [...foreign, ...odd]) {
      const answer = await sendRaw(url, get(host));
      expect(answer?.status, host).to.equal(403);
      expectError(answer?.body, /is not allowed: .*--allowed-hosts/);
    }
    const post = rawCompletion({ prompt: 'A', max_tokens: 1 });
    const rebound = post
      .replace('localhost', 'evil.example')
      .replace('\r\n', '\r\nConnection: close\r\n');
    expect((await sendRaw(url, rebound))?.status).to.equal(403);
    // HTTP/1.0 has no Host; a browser always sends one.
    expect((await sendRaw(url, 'GET /health HTTP/1.0\r\n\r\n'))?.status).to.equal(200);
  });

  it('answers other hosts where they are allowed, with a key, and on other addresses', async () => {
    const text = 'GET /health HTTP/1.1\r\nHost: Box.Example:80\r\nConnection: close\r\n\r\n';
    const status = async (url: string) => (await sendRaw(url, text))?.status;
    expect(await status(await listen({ allowedHosts: ['box.example'] }))).to.equal(200);
    expect(await status(await listen({ allowedHosts: ['*'] }))).to.equal(200);
    expect(await status(await listen({ allowedHosts: ['other.example'] }))).to.equal(403);
    expect(await status(await listen({ apiKey: 'secret' }))).to.equal(200);
    const { port } = new URL(await listen({}, '0.0.0.0'));
    expect(await status(`http://127.0.0.1:${port}`)).to.equal(200);
    expect(await status(await listen({}, 'localhost'))).to.equal(403);
  });

  it("names every request, by the client's own id where it has one", async () => {
    const app = server();
    const idOf = async (id?: string) => {
      const headers = id === undefined ? {} : { 'x-request-id': id };
      return (await app.inject({ url: '/v1/nothing', headers })).headers['x-request-id'];
    };
    expect(await idOf('my-id/7')).to.equal('my-id/7');
    const random = [await idOf(), await idOf(), await idOf('a b'), await idOf('x'.repeat(200))];
    for (const id of random) expect(id).to.match(/^req-[\w-]{36}$/);
    expect(new Set(random).size).to.equal(4);
    const payload = { prompt: 'A', max_tokens: 1 };
    for (const stream of [true, false]) {
      const headers = { 'x-request-id': `s-${stream}` };
      const body = { ...payload, stream };
      const answer = await app.inject({
        method: 'POST',
        url: '/v1/completions',
        headers,
        payload: body,
      });
      expect(answer.headers['x-request-id']).to.equal(`s-${stream}`);
    }
  });

  it('is healthy only while the model can run', async () => {
    let downReason: string | undefined;
    const engine: Engine = {
      ...idleEngine,
      get downReason() {
        return downReason;
      },
    };
    const app = server({ engine });
    expect((await app.inject('/health')).json()).to.include({ status: 'ok', model: 'rene-tiny' });
    downReason = "the model's thread has ended";
    const dead = await app.inject('/health');
    expect(dead.statusCode).to.equal(503);
    expect(dead.json()).to.include({ status: 'down', active: 0 });
    expect(dead.json().error).to.include({ message: downReason, type: 'server_error' });
  });

  it('lets pages of the given origins ask, whose browsers ask first', async () => {
    const origin = 'http://localhost:5173';
    const preflight = (app: FastifyInstance, from = origin) =>
      app.inject({
        method: 'OPTIONS',
        url: '/v1/completions',
        headers: {
          origin: from,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization,content-type',
        },
      });
    const allowed = 'access-control-allow-origin';
    for (const apiKey of [undefined, 'secret']) {
      const app = server({ apiKey, corsOrigins: [origin, 'https://app.example'] });
      const asked = await preflight(app);
      expect(asked.statusCode).to.equal(204);
      expect(asked.headers[allowed]).to.equal(origin);
      expect(asked.headers['access-control-allow-headers']).to.equal('authorization,content-type');
      expect((await preflight(app, 'https://evil.example')).headers[allowed]).to.equal(undefined);
      for (const stream of [true, false]) {
        const answer = await app.inject({
          method: 'POST',
          url: '/v1/completions',
          headers: { origin, authorization: 'Bearer secret' },
          payload: { prompt: 'A', max_tokens: 1, stream },
        });
        expect(answer.statusCode).to.equal(200);
        expect(answer.headers[allowed]).to.equal(origin);
        expect(answer.headers['access-control-expose-headers']).to.include('x-request-id');
      }
    }
    const locked = server({ apiKey: 'secret', corsOrigins: ['*'] });
    const refused = await locked.inject({
      method: 'POST',
      url: '/v1/completions',
      headers: { origin },
      payload: { prompt: 'A' },
    });
    expect(refused.statusCode).to.equal(401);
    expect(refused.headers[allowed], 'the page can read why').to.equal('*');
    for (const apiKey of [undefined, 'secret']) {
      const told = await preflight(server({ apiKey }));
      expect(told.headers[allowed]).to.equal(undefined);
      expect(told.json().error.message).to.match(/localhost:5173 may not ask: .* --cors-origin/);
    }
    const closed = server();
    expect(
      (await closed.inject({ url: '/health', headers: { origin } })).headers[allowed],
    ).to.equal(undefined);
  });

  it('takes any of several keys, and tells their clients apart', async () => {
    const clients: (string | undefined)[] = [];
    const engine = instantEngine(({ client }) => clients.push(client));
    const ask = async (app: FastifyInstance, key: string, remoteAddress: string) => {
      const answer = await app.inject({
        method: 'POST',
        url: '/v1/completions',
        headers: { authorization: `Bearer ${key}` },
        remoteAddress,
        payload: { prompt: 'A', max_tokens: 1 },
      });
      return answer.statusCode;
    };
    const app = server({ engine, apiKey: ['one', 'two'] });
    expect(await ask(app, 'three', '10.0.0.1')).to.equal(401);
    expect(await ask(app, 'one', '10.0.0.1')).to.equal(200);
    expect(await ask(app, 'one', '10.0.0.2')).to.equal(200);
    expect(await ask(app, 'two', '10.0.0.1')).to.equal(200);
    expect(clients).to.have.length(3);
    expect(clients[0]).to.equal(clients[1]).and.not.equal(clients[2]);
    clients.splice(0);
    const single = server({ engine, apiKey: 'one' });
    await ask(single, 'one', '10.0.0.1');
    await ask(single, 'one', '10.0.0.2');
    expect(clients).to.deep.equal(['10.0.0.1', '10.0.0.2']);
    expect(network('::ffff:10.0.0.1')).to.equal('10.0.0.1');
    expect(network('2001:db8:0:7::5')).to.equal(network('2001:db8::7:1:2:3:4'));
    expect(network('2001:db8:0:8::5')).to.not.equal(network('2001:db8:0:7::5'));
    expect(network('::1')).to.equal('0:0:0:0::/64');
  });

  it('keeps a quarter of the places to wait for other clients', async () => {
    const app = server({ engine: idleEngine, maxWaiting: 40 });
    const ask = (remoteAddress: string, n: number) =>
      app.inject({
        method: 'POST',
        url: '/v1/completions',
        remoteAddress,
        payload: { prompt: 'A', n },
      });
    const pending = [ask('10.0.0.1', 64), ask('10.0.0.1', 30)];
    await new Promise((resolve) => setTimeout(resolve, 50));
    const refused = await ask('10.0.0.1', 1);
    expect(refused.statusCode).to.equal(429);
    expect(refused.json().error.message).to.match(/94 sequences of this client/);
    const other = ask('10.0.0.2', 10);
    const first = await Promise.race([other, new Promise((resolve) => setTimeout(resolve, 50))]);
    expect(first, 'it waits for its turn').to.equal(undefined);
    void [...pending, other];
  });
});
