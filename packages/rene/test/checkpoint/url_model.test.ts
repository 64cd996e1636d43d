// Models and tokenizers from web servers of every kind.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorOf, golden, tinyByteLevelJson } from '@rene-js/testing';
import { expect } from 'chai';
import fc from 'fast-check';
import { openSafetensors } from '../../src/checkpoint/safetensors.js';
import { openUrlModel } from '../../src/checkpoint/url_model.js';
import { urlSource } from '../../src/checkpoint/web_file.js';
import { webFolder } from '../../src/checkpoint/web_folder.js';
import { CheckpointError, TokenizerError } from '../../src/errors.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';
import { Tokenizer } from '../../src/tokenizer.js';
import { ProxyServer } from './proxy_server.js';
import { type Habits, PAGE, WebServer } from './web_server.js';

const SHARD = 'model #1?of=1, 50%25 größer.safetensors';
const IDS = [[5, 17, 31, 44]];

describe('a model on a web server', () => {
  let server: WebServer;
  let origin: string;
  const dir = golden('tiny-options');
  let expected: Uint8Array | Float32Array | Int32Array;

  before(async () => {
    const read = (name: string) => readFileSync(join(dir, name));
    const weights = read('model.safetensors');
    const index = JSON.stringify({ weight_map: { 'backbone.embedding.weight': `sub/${SHARD}` } });
    const tokenizer = Buffer.from(JSON.stringify(tinyByteLevelJson()));
    server = new WebServer(
      new Map<string, Uint8Array>([
        ['/whole/config.json', read('config.json')],
        ['/whole/tokenizer.json', tokenizer],
        ['/whole/model.safetensors', weights],
        ['/shards/config.json', read('config.json')],
        ['/shards/model.safetensors.index.json', Buffer.from(index)],
        [`/shards/sub/${SHARD}`, weights],
        ['/defaults/config.json', read('config.json')],
        ['/defaults/model.safetensors', weights],
        ['/defaults/generation_config.json', Buffer.from('{"eos_token_id": [7, 3], "top_k": 9}')],
        ['/large.safetensors', new Uint8Array(12_000_001)],
        ['/broken/config.json', Buffer.from('{"d_model": ')],
        ['/bare/model.safetensors', weights],
        ['/chat/tokenizer.json', tokenizer],
        ['/chat/tokenizer_config.json', Buffer.from('{"chat_template": "old"}')],
        ['/chat/chat_template.jinja', Buffer.from('{{ messages[0].content }}!\n')],
        ['/config.json', read('config.json')],
        ['/tokenizer.json', tokenizer],
        ['/model.safetensors', weights],
      ]),
    );
    origin = await server.start();
    expected = await logits(dir);
  });
  after(() => server.stop());
  beforeEach(() => {
    server.habits = {};
    server.requests.length = 0;
  });

  async function logits(name: string | URL): Promise<typeof expected> {
    const model = await ReneLMHeadModel.fromPretrained(name, {
      backend: 'simd',
      onNotice: () => {},
    });
    const result = model.forward(IDS);
    const data = await result.data();
    result.dispose();
    model.dispose();
    return data;
  }

  /** What a folder's JSON files say. */
  async function opened(url: string) {
    const { config, generationConfig, checkpoint } = await openUrlModel(webFolder(new URL(url)));
    await checkpoint.close();
    return { config, generationConfig };
  }

  /** Loads model and tokenizer, and compares them with the local files. */
  async function check(url: string | URL): Promise<void> {
    expect(await logits(url), String(url)).to.deep.equal(expected);
    expect((await Tokenizer.fromPretrained(url)).encode('abc')).to.have.length.above(0);
  }

  it('its tokenizer has the chat template of its file', async () => {
    const tokenizer = await Tokenizer.fromPretrained(`${origin}/chat`);
    expect(tokenizer.applyChatTemplate([{ role: 'user', content: 'Hi' }])).to.equal('Hi!');
    const plain = await Tokenizer.fromPretrained(`${origin}/whole`);
    expect(plain.hasChatTemplate).to.equal(false);
    server.habits = { missing: (res) => res.end(PAGE) };
    expect((await Tokenizer.fromPretrained(`${origin}/whole`)).hasChatTemplate).to.equal(false);
  });

  it('has the logits of the same files on disk, whole or in shards of any name', async () => {
    await check(`${origin}/whole/`);
    expect(await logits(`${origin}/shards`)).to.deep.equal(expected);
  });

  const hosts: Record<string, Habits> = {
    'has a page for every path': {
      missing: (res) => res.writeHead(200, { 'content-type': 'text/html' }).end(PAGE),
    },
    'has a page for every path, of no type': { missing: (res) => res.writeHead(200).end(PAGE) },
    'has a page for every path, in ranges': {
      missing: (res) =>
        res
          .writeHead(206, {
            'content-type': 'text/html; charset=utf-8',
            'content-range': 'bytes 0-0/99',
          })
          .end('<'),
    },
    'hides what is missing': { missing: (res) => res.writeHead(403).end('<Error/>') },
    'wants a login for what is missing': { missing: (res) => res.writeHead(401).end() },
    'calls what is missing a bad request': { missing: (res) => res.writeHead(400).end() },
    'answers with nothing for what is missing': { missing: (res) => res.writeHead(200).end() },
    'has an error in JSON for what is missing': {
      missing: (res) =>
        res.writeHead(200, { 'content-type': 'application/json' }).end('{"error": "Not found"}'),
    },
    'calls every file a page': {
      before: (_, res) => {
        res.setHeader('content-type', 'text/html');
        return false;
      },
    },
    'calls every file a page, and knows no ranges': {
      noRanges: true,
      before: (_, res) => {
        res.setHeader('content-type', 'text/html');
        return false;
      },
    },
    'knows no ranges': { noRanges: true },
    'knows no ranges and has a page for every path': {
      noRanges: true,
      missing: (res) => res.writeHead(200, { 'content-type': 'text/html' }).end(PAGE),
    },
    'does not expose Content-Range': { contentRange: 'none' },
    'does not tell sizes': { contentRange: 'no size' },
    'does not tell sizes, nor answers HEAD': { contentRange: 'no size', noHead: true },
    'does not tell sizes, and compresses what HEAD measures': {
      contentRange: 'no size',
      before: (req, res) => {
        if (req.method !== 'HEAD') return false;
        res.writeHead(200, { 'content-encoding': 'gzip', 'content-length': 99 }).end();
        return true;
      },
    },
    'redirects every file to a path with a query': {
      before: (req, res) => {
        if (req.url?.includes('?')) return false;
        res.writeHead(302, { location: `${req.url}?signature=x` }).end();
        return true;
      },
    },
    'redirects every file to another host': {
      before: (req, res) => {
        if (req.headers.host?.startsWith('localhost')) return false;
        res.writeHead(307, {
          location: `//${req.headers.host?.replace('127.0.0.1', 'localhost')}${req.url}`,
        });
        res.end();
        return true;
      },
    },
  };
  for (const [name, habits] of Object.entries(hosts)) {
    it(`loads from a host that ${name}`, async () => {
      server.habits = habits;
      await check(`${origin}/whole`);
    });
  }

  it('is opened with all small files asked for at once', async () => {
    const asked = new Set<string>();
    let proceed = () => {};
    const all = new Promise<void>((resolve) => {
      proceed = resolve;
    });
    // No answer before all three are asked for.
    server.habits.before = (req, res) => {
      const name = req.url?.replace(/.*\//, '') ?? '';
      if (!name.endsWith('.json') || name.startsWith('pytorch')) return false;
      if (asked.add(name).size === 3) proceed();
      void all.then(() => res.writeHead(404).end());
      return true;
    };
    const folder = webFolder(new URL(`${origin}/whole`));
    const error = await errorOf(CheckpointError, () => openUrlModel(folder));
    expect(error.message).to.match(/config\.json: expected the model's configuration/);
    expect([...asked].sort()).to.deep.equal([
      ...['config.json', 'generation_config.json', 'model.safetensors.index.json'],
    ]);
  });

  it('is refused once for missing weights, also if they are missed before the rest has arrived', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.prependListener('unhandledRejection', note);
    // The weights' requests are answered first.
    server.habits.before = (req, res) => {
      if (!req.url?.endsWith('/config.json')) return false;
      setTimeout(() => res.writeHead(200).end(readFileSync(join(dir, 'config.json'))), 100);
      return true;
    };
    try {
      const folder = webFolder(new URL(`${origin}/none`));
      const error = await errorOf(CheckpointError, () => openUrlModel(folder));
      expect(error.message).to.match(/model\.safetensors: .*expected a model's weights there/);
    } finally {
      process.off('unhandledRejection', note);
    }
    expect(unhandled).to.deep.equal([]);
  });

  it('has the generation defaults of its folder', async () => {
    const { config, generationConfig } = await opened(`${origin}/defaults`);
    expect(config.eosTokenIds).to.deep.equal([7, 3]);
    expect(generationConfig).to.include({ topK: 9 });
    expect((await opened(`${origin}/whole`)).generationConfig).to.equal(undefined);
  });

  it('says when it reads a large file whole', async () => {
    server.habits = { noRanges: true };
    const notices: string[] = [];
    const onNotice = (notice: string) => notices.push(notice);
    await urlSource(`${origin}/whole/model.safetensors`, { onNotice });
    expect(notices).to.deep.equal([]);
    await urlSource(`${origin}/large.safetensors?secret`, { onNotice });
    expect(notices).to.deep.equal([
      `${origin}/large.safetensors: the server does not support ranges; reading the whole file (12 MB)`,
    ]);
  });

  it('reads ranges if possible, else whole files', async () => {
    const weights = readFileSync(join(dir, 'model.safetensors'));
    const gets = () => server.requests.filter((request) => request.startsWith('GET')).length;
    for (const [habits, wholeRequests] of [
      [{}, undefined],
      [{ contentRange: 'none' }, undefined],
      [{ noRanges: true }, 1],
      [{ contentRange: 'no size' }, 1],
    ] as const) {
      server.habits = habits;
      server.requests.length = 0;
      const source = await urlSource(`${origin}/whole/model.safetensors?secret`);
      expect(source.size).to.equal(weights.length);
      expect(source.name).to.equal(`${origin}/whole/model.safetensors`);
      await fc.assert(
        fc.asyncProperty(fc.nat(weights.length), fc.nat(5000), async (start, count) => {
          const length = Math.min(count, weights.length - start);
          const bytes = await source.read(start, length);
          expect(Buffer.from(bytes).equals(weights.subarray(start, start + length))).to.equal(true);
        }),
        { numRuns: 10 },
      );
      await errorOf(CheckpointError, () => source.read(weights.length - 1, 2));
      if (wholeRequests !== undefined) expect(gets()).to.equal(wholeRequests);
      else expect(gets()).to.be.above(2);
      const file = await openSafetensors(source);
      expect(file.tensors.size).to.be.above(10);
      await file.close();
    }
  });

  it('has a URL with slashes, a query, a hash, a login, or the name of a file', async () => {
    for (const [path, query] of [
      ['/whole', ''],
      ['/whole///', ''],
      ['/whole/?key=a%2Fb&x', '?key=a%2Fb&x'],
      ['/whole#top', ''],
      ['/whole?key=1#top', '?key=1'],
      ['/whole/config.json?key=1', '?key=1'],
      ['/whole/tokenizer.json', ''],
      ['/whole/model.safetensors', ''],
      ['/./x/../whole', ''],
      ['', ''],
      ['/', ''],
      ['/?key=1', '?key=1'],
    ] as const) {
      server.requests.length = 0;
      await check(origin + path);
      await check(new URL(origin + path));
      for (const request of server.requests)
        expect(request.replace(/^.*\.(json|jinja)/, '')).to.satisfy(
          (rest: string) => request.includes('.safetensors') || rest === query,
        );
    }
    server.logins.clear();
    await check(`${origin.replace('//', '//ann:p%40ss@').replace('http', 'HTTP')}/whole`);
    expect([...server.logins]).to.deep.equal([
      `Basic ${Buffer.from('ann:p@ss').toString('base64')}`,
    ]);
  });

  it('loads through the proxy of the environment', async () => {
    const proxy = new ProxyServer(new Map([['models.test:80', Number(new URL(origin).port)]]));
    const saved = process.env.http_proxy;
    process.env.http_proxy = await proxy.start();
    try {
      await check('http://models.test/whole');
      expect(proxy.requests).to.include('GET http://models.test/whole/config.json');
    } finally {
      if (saved === undefined) delete process.env.http_proxy;
      else process.env.http_proxy = saved;
      await proxy.stop();
    }
  });

  it('reports what is missing', async () => {
    const load = (path: string) => () => logits(`${origin}/${path}`);
    const gone = await errorOf(CheckpointError, load('gone?secret'));
    expect(gone.message).to.match(
      /gone\/model\.safetensors: HTTP 404, pytorch_model\.bin: HTTP 404/,
    );
    expect(gone.message).not.to.contain('secret');
    const bare = await errorOf(CheckpointError, load('bare'));
    expect(bare.message).to.match(
      /bare\/config\.json: expected the model's configuration, found HTTP 404/,
    );
    const broken = await errorOf(CheckpointError, load('broken'));
    expect(broken.message).to.match(/broken\/config\.json: not JSON/);
    const nobody = await errorOf(CheckpointError, () => logits('http://127.0.0.1:1/x'));
    expect(nobody.message).to.match(/cannot be reached \(ECONNREFUSED\); without a network/);
    const none = await errorOf(TokenizerError, () => Tokenizer.fromPretrained(`${origin}/shards`));
    expect(none.message).to.match(/no tokenizer\.json, found HTTP 404/);
    for (const name of [
      'has a page for every path',
      'has a page for every path, of no type',
      'has a page for every path, in ranges',
      'knows no ranges and has a page for every path',
    ]) {
      server.habits = hosts[name] ?? {};
      const page = await errorOf(CheckpointError, load('gone'));
      expect(page.message, name).to.match(
        /model\.safetensors: a web page, pytorch_model\.bin: a web page/,
      );
    }
    // A server that is busy or ill may have the file.
    for (const status of [408, 429, 500, 503]) {
      server.habits = { missing: (res) => res.writeHead(status).end() };
      const { message } = await errorOf(CheckpointError, load('gone'));
      expect(message).to.match(new RegExp(`gone/config\\.json: HTTP ${status}$`));
    }
  });

  it('is read in one request a region, which goes on where a connection breaks', async () => {
    server.requests.length = 0;
    await logits(`${origin}/whole`);
    const whole = () => server.requests.filter((each) => each.endsWith('model.safetensors'));
    expect(whole()).to.have.length(1);

    const weights = readFileSync(join(dir, 'model.safetensors'));
    server.requests.length = 0;
    server.habits = {
      before: (req, res) => {
        const first = /^bytes=(\d+)-$/.exec(req.headers.range ?? '')?.[1];
        if (first === undefined) return false;
        const rest = weights.subarray(Number(first));
        const range = `bytes ${first}-${weights.length - 1}/${weights.length}`;
        res.writeHead(206, { 'content-range': range, 'content-length': rest.length });
        if (rest.length <= 50_000) res.end(rest);
        else res.write(rest.subarray(0, 50_000), () => res.destroy());
        return true;
      },
    };
    expect(await logits(`${origin}/whole`)).to.deep.equal(expected);
    expect(whole()).to.have.length(Math.ceil(weights.length / 50_000));
  });

  it('detects a connection that breaks for good, and ranges of another place', async () => {
    const load = (options: object) => ReneLMHeadModel.fromPretrained(`${origin}/whole`, options);
    const options = { backend: 'simd', hub: { retryDelay: 1 } };
    server.habits = {
      before: (req, res) => {
        if (!req.headers.range) return false;
        if (req.headers.range === 'bytes=0-') {
          res.writeHead(206, { 'content-range': 'bytes 0-99/100', 'content-length': 100 });
          res.write('12345', () => res.destroy());
        } else res.destroy();
        return true;
      },
    };
    const broken = await errorOf(CheckpointError, () => load(options));
    expect(broken.message).to.match(/the connection broke|cannot be reached/);
    server.habits = {
      before: (req, res) => {
        if (!req.headers.range) return false;
        res.writeHead(206, { 'content-range': 'bytes 0-99/100', 'content-length': 100 });
        res.write('12345', () => res.destroy());
        return true;
      },
    };
    const elsewhere = await errorOf(CheckpointError, () => load(options));
    expect(elsewhere.message).to.match(/expected bytes from 5 on, found 'bytes 0-99\/100'/);
    server.habits = {
      before: (req, res) => {
        if (!req.headers.range) return false;
        res.writeHead(206).end('12345');
        return true;
      },
    };
    const short = await errorOf(CheckpointError, () => load(options));
    expect(short.message).to.match(/it has only 5 bytes/);
  });
});
