// The hub: cache layout, resuming, checksums, retries, redirects, tokens, offline; on a local server.
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import type { HubOptions } from '../../src/checkpoint/hub.js';
import { hubCacheDir } from '../../src/checkpoint/hub_cache.js';
import { withLock } from '../../src/checkpoint/lock.js';
import { resolveModel, resolveTokenizer } from '../../src/checkpoint/resolve.js';
import { CheckpointError, HubError, TokenizerError } from '../../src/errors.js';
import { FakeHub } from './fake_hub.js';
import { errorOf, golden, temporaryFolders } from './fixtures.js';

const REPO = 'some-lab/tiny';
const VARIABLES = [
  ...['HF_HOME', 'HF_HUB_CACHE', 'HF_ENDPOINT', 'HF_TOKEN', 'HF_TOKEN_PATH', 'HF_HUB_OFFLINE'],
  'HF_HUB_DOWNLOAD_TIMEOUT',
];

describe('hub', () => {
  const folder = temporaryFolders();
  const config = readFileSync(golden('tiny-options/config.json'));
  const weights = readFileSync(golden('tiny-options/model.safetensors'));
  let hub: FakeHub;
  let home: string;
  let options: HubOptions;
  const saved = new Map<string, string | undefined>();

  beforeEach(async () => {
    for (const name of VARIABLES) {
      saved.set(name, process.env[name]);
      delete process.env[name];
    }
    home = folder();
    process.env.HF_HOME = home;
    hub = new FakeHub();
    await hub.start();
    hub.add(REPO, { 'config.json': config, 'model.safetensors': weights, 'README.md': 'x' });
    options = { endpoint: hub.endpoint, retryDelay: 1 };
  });

  afterEach(async () => {
    await hub.stop();
    for (const [name, value] of saved) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });

  const repoDir = () => join(home, 'hub', 'models--some-lab--tiny');

  it("downloads a model into Python's cache layout", async () => {
    const dir = await resolveModel(REPO, options);
    expect(dir).to.equal(join(repoDir(), 'snapshots', hub.commit));
    expect(readFileSync(join(repoDir(), 'refs', 'main'), 'utf8')).to.equal(hub.commit);
    expect(readdirSync(dir).sort()).to.deep.equal(['config.json', 'model.safetensors']);
    for (const name of readdirSync(dir)) {
      expect(lstatSync(join(dir, name)).isSymbolicLink()).to.equal(true);
      expect(readlinkSync(join(dir, name))).to.match(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40,64}$/);
    }
    expect(readdirSync(join(repoDir(), 'blobs')).length).to.equal(2);
    // Compressed on the way, a file would have neither its size nor its parts.
    expect([...hub.encodings]).to.deep.equal(['identity']);
    const checkpoint = await openCheckpoint(dir);
    expect(checkpoint.names.length).to.be.above(10);
    await checkpoint.close();
  });

  it('fetches nothing twice, and only what changed', async () => {
    await resolveModel(REPO, options);
    const before = hub.requests.length;
    await resolveModel(REPO, options);
    expect(hub.requests.slice(before)).to.deep.equal([`GET /api/models/${REPO}/revision/main`]);
    hub.commit = 'b'.repeat(40);
    hub.repos.get(REPO)?.files.set('config.json', new TextEncoder().encode('{}'));
    const progress: number[][] = [];
    const dir = await resolveModel(REPO, {
      ...options,
      onProgress: ({ bytes, totalBytes }) => progress.push([bytes, totalBytes]),
    });
    const total = 2 + weights.length;
    expect(progress.at(-1)).to.deep.equal([total, total]);
    expect(dir).to.match(/b{40}$/);
    expect(readFileSync(join(dir, 'config.json'), 'utf8')).to.equal('{}');
    expect(hub.sent.get('model.safetensors')).to.equal(weights.length);
  });

  it('leaves a folder as it is, and refuses what is neither folder nor id', async () => {
    expect(await resolveModel(home, options)).to.equal(home);
    for (const name of ['/no/where', './x', 'just-a-name', 'a/b/c', '../x', 'a--b/c', '']) {
      const error = await errorOf(CheckpointError, () => resolveModel(name, options));
      expect(error.message).to.match(/no such folder.*no id/);
    }
    expect(hub.requests).to.deep.equal([]);
  });

  it('reports bytes up to the total', async () => {
    const seen: [string, number, number][] = [];
    const onProgress: HubOptions['onProgress'] = ({ file, bytes, totalBytes }) =>
      seen.push([file, bytes, totalBytes]);
    await resolveModel(REPO, { ...options, onProgress });
    const total = config.length + weights.length;
    expect(seen.at(-1)).to.deep.equal(['model.safetensors', total, total]);
    const bytes = seen.map(([, count]) => count);
    expect(bytes).to.deep.equal([...bytes].sort((a, b) => a - b));
  });

  it('resumes a broken download without fetching what it has', async () => {
    hub.fail(/GET .*some-lab.*model\.safetensors$/, { breakAfter: 0 });
    hub.fail(/GET \/some-lab%2Ftiny\/model/, { breakAfter: 100_000 }, { breakAfter: 50_000 });
    await resolveModel(REPO, options);
    expect(hub.sent.get('model.safetensors')).to.equal(weights.length);
  });

  it('goes on as long as each try gets further', async () => {
    const breaks = Array.from({ length: 8 }, () => ({ breakAfter: 20_000 }));
    hub.fail(/GET \/some-lab%2Ftiny\/model/, ...breaks);
    await resolveModel(REPO, options);
    expect(hub.sent.get('model.safetensors')).to.equal(weights.length);
  });

  it('takes a connection without a byte for a broken one', async () => {
    process.env.HF_HUB_DOWNLOAD_TIMEOUT = '0.5';
    hub.fail(/GET \/some-lab%2Ftiny\/model/, { stallAfter: 30_000 });
    await resolveModel(REPO, options);
    expect(hub.sent.get('model.safetensors')).to.equal(weights.length);
  });

  it('resumes in a later run, also from what Python left', async () => {
    const breaks = Array.from({ length: 5 }, () => ({ breakAfter: 0 }));
    hub.fail(/GET \/some-lab%2Ftiny\/model/, { breakAfter: 70_000 }, ...breaks);
    await errorOf(HubError, () => resolveModel(REPO, options));
    const blobs = join(repoDir(), 'blobs');
    const [partial = ''] = readdirSync(blobs).filter((name) => name.endsWith('.incomplete'));
    expect(readFileSync(join(blobs, partial)).length).to.equal(70_000);
    const sent = hub.sent.get('model.safetensors') ?? 0;
    await resolveModel(REPO, options);
    expect((hub.sent.get('model.safetensors') ?? 0) - sent).to.equal(weights.length - 70_000);
    expect(readdirSync(blobs).filter((name) => name.endsWith('.incomplete'))).to.deep.equal([]);
  });

  it('starts again when the server cannot resume', async () => {
    for (const wrong of [{ ignoreRange: true }, { wrongRange: true }] as const) {
      process.env.HF_HOME = folder();
      hub.sent.clear();
      hub.fail(/GET \/some-lab%2Ftiny\/model/, { breakAfter: 1000 }, wrong);
      const dir = await resolveModel(REPO, options);
      expect(readFileSync(join(dir, 'model.safetensors'))).to.deep.equal(weights);
      // Once, not again after a wrong checksum.
      expect(hub.sent.get('model.safetensors')).to.equal(1000 + weights.length);
    }
    hub.add('some-lab/other', { 'config.json': config, 'model.safetensors': weights });
    hub.fail(/GET \/some-lab%2Fother\/model/, { breakAfter: 1000 }, { status: 416 });
    const other = await resolveModel('some-lab/other', options);
    expect(readFileSync(join(other, 'model.safetensors'))).to.deep.equal(weights);
  });

  it('notices a file that ends early', async () => {
    hub.fail(/GET \/some-lab%2Ftiny\/model/, { truncateTo: 5000 });
    const dir = await resolveModel(REPO, options);
    expect(readFileSync(join(dir, 'model.safetensors'))).to.deep.equal(weights);
    expect(hub.sent.get('model.safetensors')).to.equal(weights.length);
  });

  it('fetches a corrupt file once more, then gives up and keeps none of it', async () => {
    hub.fail(/GET \/some-lab%2Ftiny\/model/, { corrupt: true });
    const dir = await resolveModel(REPO, options);
    expect(readFileSync(join(dir, 'model.safetensors'))).to.deep.equal(weights);
    hub.add('some-lab/bad', { 'config.json': config, 'model.safetensors': weights });
    hub.fail(/GET .*some-lab.*bad.*config\.json/, { corrupt: true }, { corrupt: true });
    const error = await errorOf(HubError, () => resolveModel('some-lab/bad', options));
    expect(error.message).to.match(/not what the hub promised.*twice/);
    const bad = join(home, 'hub', 'models--some-lab--bad');
    expect(readdirSync(join(bad, 'blobs'))).to.deep.equal([]);
    expect(existsSync(join(bad, 'snapshots'))).to.equal(false);
  });

  it('replaces a damaged rest of an older download', async () => {
    await errorOf(HubError, async () => {
      hub.fail(
        /GET \/some-lab%2Ftiny\/model/,
        ...Array.from({ length: 5 }, () => ({ status: 500 })),
      );
      await resolveModel(REPO, options);
    });
    const blobs = join(repoDir(), 'blobs');
    const [partial = ''] = readdirSync(blobs).filter((name) => name.endsWith('.incomplete'));
    for (const bytes of [3000, weights.length + 10]) {
      process.env.HF_HUB_CACHE = folder();
      const blobs = join(process.env.HF_HUB_CACHE, 'models--some-lab--tiny', 'blobs');
      mkdirSync(blobs, { recursive: true });
      writeFileSync(join(blobs, partial), Buffer.alloc(bytes, 1));
      const before = hub.requests.length;
      const dir = await resolveModel(REPO, options);
      expect(readFileSync(join(dir, 'model.safetensors'))).to.deep.equal(weights);
      const fetched = hub.requests.slice(before).filter((r) => /^GET .*%2F.*model/.test(r));
      // The rest and, as its checksum is wrong, the whole; what is too long is not even tried.
      expect(fetched.length).to.equal(bytes === 3000 ? 2 : 1);
    }
  });

  it('tries again after 429 and 500, waiting as long as it is told', async () => {
    hub.fail(/GET \/api/, { status: 500 }, { status: 429, headers: { 'retry-after': '0' } });
    hub.fail(/HEAD/, { status: 503 });
    hub.fail(/GET \/some-lab%2Ftiny\/model/, { status: 502 });
    await resolveModel(REPO, options);
    const api = hub.requests.filter((request) => request.startsWith('GET /api'));
    expect(api.length).to.equal(3);
    hub.fail(/GET \/api/, { status: 429, headers: { 'retry-after': '0' } });
    hub.add('some-lab/other', { 'config.json': config, 'model.safetensors': weights });
    await resolveModel('some-lab/other', { ...options, retryDelay: 1e9 });
    hub.fail(/GET \/api/, ...Array.from({ length: 5 }, () => ({ status: 429 })));
    const error = await errorOf(HubError, () => resolveModel('some-lab/none', options));
    expect(error.status).to.equal(429);
    expect(error.message).to.match(/slow down.*tried 5 times/);
  });

  it('says what 401, 403 and 404 mean, at once', async () => {
    for (const [status, message] of [
      [401, /access denied.*HF_TOKEN/],
      [403, /access denied.*terms/],
      [404, /not found/],
    ] as const) {
      hub.fail(/GET \/api/, { status });
      const before = hub.requests.length;
      const error = await errorOf(HubError, () => resolveModel(REPO, options));
      expect(error.status).to.equal(status);
      expect(error.message).to.match(message);
      expect(hub.requests.length - before).to.equal(1);
    }
    const missing = await errorOf(HubError, () => resolveModel('some-lab/none', options));
    expect(missing.message).to.match(/Repository not found/);
    hub.add('some-lab/empty', { 'README.md': 'x' });
    const empty = await errorOf(HubError, () => resolveModel('some-lab/empty', options));
    expect(empty.message).to.match(/neither model\.safetensors nor pytorch_model\.bin/);
  });

  it('sends the token to the hub, never to the storage behind it', async () => {
    hub.requiredToken = 'hf_secret';
    await errorOf(HubError, () => resolveModel(REPO, options));
    process.env.HF_TOKEN = 'hf_secret';
    await resolveModel(REPO, options);
    expect([...hub.tokens.hub]).to.deep.equal(['Bearer hf_secret']);
    expect([...hub.tokens.storage]).to.deep.equal([]);
  });

  it('finds the token where it was saved, unless it is given', async () => {
    hub.requiredToken = 'hf_saved';
    writeFileSync(join(home, 'token'), 'hf_saved\n');
    await resolveModel(REPO, options);
    hub.requiredToken = 'hf_elsewhere';
    process.env.HF_TOKEN_PATH = join(home, 'another');
    writeFileSync(process.env.HF_TOKEN_PATH, 'hf_elsewhere');
    await resolveModel(REPO, options);
    hub.requiredToken = 'hf_given';
    process.env.HF_TOKEN = 'hf_wrong';
    await resolveModel(REPO, { ...options, token: 'hf_given' });
    expect([...hub.tokens.hub]).to.deep.equal(
      ['hf_saved', 'hf_elsewhere', 'hf_given'].map((token) => `Bearer ${token}`),
    );
  });

  it('follows a redirect within the hub', async () => {
    hub.fail(/HEAD .*config\.json/, {
      status: 307,
      headers: { location: `/moved/${REPO}/resolve/${hub.commit}/config.json` },
    });
    const dir = await resolveModel(REPO, options);
    expect(readFileSync(join(dir, 'config.json'))).to.deep.equal(config);
    expect(hub.requests).to.include(`GET /moved/${REPO}/resolve/${hub.commit}/config.json`);
  });

  it('reads HF_ENDPOINT and HF_HUB_CACHE, and other revisions', async () => {
    process.env.HF_ENDPOINT = `${hub.endpoint}/`;
    process.env.HF_HUB_CACHE = join(home, 'elsewhere');
    await resolveModel(REPO, { revision: 'refs/pr/1' });
    const dir = join(home, 'elsewhere', 'models--some-lab--tiny');
    expect(readFileSync(join(dir, 'refs', 'refs', 'pr', '1'), 'utf8')).to.equal(hub.commit);
    expect(hub.requests[0]).to.equal(`GET /api/models/${REPO}/revision/refs%2Fpr%2F1`);
    const error = await errorOf(HubError, () => resolveModel(REPO, { revision: '../../x' }));
    expect(error.message).to.match(/no revision/);
  });

  it("finds the cache where Python's libraries have it", () => {
    const xdg = { XDG_CACHE_HOME: '/cache' };
    expect(hubCacheDir(xdg)).to.equal('/cache/huggingface/hub');
    expect(hubCacheDir({ ...xdg, HF_HOME: '/hf' })).to.equal('/hf/hub');
    const old = { ...xdg, HF_HOME: '/hf', HUGGINGFACE_HUB_CACHE: '/old' };
    expect(hubCacheDir(old)).to.equal('/old');
    expect(hubCacheDir({ ...old, HF_HUB_CACHE: '/hub' })).to.equal('/hub');
    expect(hubCacheDir({})).to.equal(join(homedir(), '.cache', 'huggingface', 'hub'));
  });

  it('does without the hub when told to, or when it is not there', async () => {
    const offline = await errorOf(HubError, () =>
      resolveModel(REPO, { ...options, offline: true }),
    );
    expect(offline.message).to.match(/not whole in the cache.*HF_HUB_OFFLINE/);
    const dir = await resolveModel(REPO, options);
    process.env.HF_HUB_OFFLINE = '1';
    const before = hub.requests.length;
    expect(await resolveModel(REPO, options)).to.equal(dir);
    expect(hub.requests.length).to.equal(before);
    delete process.env.HF_HUB_OFFLINE;
    const notices: string[] = [];
    const onNotice = (notice: string) => notices.push(notice);
    const dead = { ...options, onNotice, endpoint: 'http://127.0.0.1:9' };
    expect(await resolveModel(REPO, dead)).to.equal(dir);
    expect(notices.join()).to.match(/cannot be reached.*using the copy of some-lab\/tiny/);
    hub.fail(/GET \/api/, { status: 429 }, { status: 404 });
    expect(await resolveModel(REPO, { ...options, onNotice })).to.equal(dir);
    expect(notices.at(-1)).to.match(/slow down.*using the copy of some-lab\/tiny/);
    expect((await errorOf(HubError, () => resolveModel(REPO, options))).status).to.equal(404);
    const error = await errorOf(HubError, () => resolveModel('some-lab/none', dead));
    expect(error.message).to.match(/http:\/\/127\.0\.0\.1:9 cannot be reached/);
  });

  it('downloads once when asked twice at once', async () => {
    const dirs = await Promise.all([resolveModel(REPO, options), resolveModel(REPO, options)]);
    expect(dirs[0]).to.equal(dirs[1]);
    expect(hub.sent.get('model.safetensors')).to.equal(weights.length);
    const blobs = readdirSync(join(repoDir(), 'blobs'));
    expect(blobs.filter((name) => name.includes('.'))).to.deep.equal([]);
  });

  it("takes over a dead process's lock", async () => {
    hub.fail(/GET \/some-lab%2Ftiny\/model/, ...Array.from({ length: 5 }, () => ({ status: 500 })));
    await errorOf(HubError, () => resolveModel(REPO, options));
    const blobs = join(repoDir(), 'blobs');
    const [partial = ''] = readdirSync(blobs).filter((name) => name.endsWith('.incomplete'));
    const lock = join(blobs, `${partial}.lock`);
    writeFileSync(lock, '');
    utimesSync(lock, new Date(), new Date(Date.now() - 60_000));
    await resolveModel(REPO, options);
    expect(existsSync(lock)).to.equal(false);
  });

  it('waits for a living process that holds the lock for long', async () => {
    const lock = join(folder(), 'lock');
    const order: string[] = [];
    const hold = (name: string, ms: number) =>
      withLock(
        lock,
        undefined,
        async () => {
          order.push(`${name} begins`);
          await sleep(ms);
          order.push(`${name} ends`);
        },
        300,
      );
    const first = hold('first', 900);
    await sleep(50);
    await Promise.all([first, hold('second', 0)]);
    expect(order).to.deep.equal(['first begins', 'first ends', 'second begins', 'second ends']);
  });

  it('says that the cache cannot be written', async () => {
    const cacheDir = join(home, 'file');
    writeFileSync(cacheDir, '');
    const error = await errorOf(HubError, () => resolveModel(REPO, { ...options, cacheDir }));
    expect(error.message).to.match(/^the cache .*file.* cannot be written: E/);
  });

  it('stops when aborted, and resumes later', async () => {
    const controller = new AbortController();
    const abort = new Error('enough');
    const onProgress: HubOptions['onProgress'] = ({ file, bytes }) => {
      if (file === 'model.safetensors' && bytes > config.length) controller.abort(abort);
    };
    const { signal } = controller;
    const aborted = resolveModel(REPO, { ...options, signal, onProgress });
    expect(await aborted.catch((error: unknown) => error)).to.equal(abort);
    const dir = await resolveModel(REPO, options);
    expect(readFileSync(join(dir, 'model.safetensors'))).to.deep.equal(weights);
  });

  it('downloads shards, and knows when one is missing', async () => {
    const index = {
      weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' },
    };
    hub.add(REPO, {
      'config.json': config,
      'model.safetensors.index.json': JSON.stringify(index),
      'model-00001-of-00002.safetensors': 'first',
      'model-00002-of-00002.safetensors': 'second',
      'pytorch_model.bin': 'not wanted',
      'tokenizer.json': '{}',
    });
    const dir = await resolveModel(REPO, options);
    expect(readdirSync(dir).sort()).to.deep.equal([
      'config.json',
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
      'tokenizer.json',
    ]);
    const partial = folder();
    const snapshot = join(partial, 'models--some-lab--tiny', 'snapshots', hub.commit);
    mkdirSync(snapshot, { recursive: true });
    writeFileSync(join(snapshot, 'model.safetensors.index.json'), JSON.stringify(index));
    writeFileSync(join(snapshot, 'model-00001-of-00002.safetensors'), 'first');
    const pinned = { cacheDir: partial, revision: hub.commit, offline: true };
    await errorOf(HubError, () => resolveModel(REPO, pinned));
  });

  it('takes pytorch_model.bin where there is nothing better', async () => {
    hub.add(REPO, { 'config.json': config, 'pytorch_model.bin': 'weights' });
    expect(readdirSync(await resolveModel(REPO, options))).to.include('pytorch_model.bin');
  });

  it('does not trust what a hub says about paths', async () => {
    const answers: [commit: string, headers: Record<string, string>][] = [
      ['../../..', {}],
      ['a'.repeat(40), { 'x-linked-etag': '"../../../evil"' }],
    ];
    for (const [commit, headers] of answers) {
      hub.commit = commit;
      if (headers['x-linked-etag']) hub.fail(/HEAD/, { status: 200, headers });
      await errorOf(HubError, () => resolveModel(REPO, options));
    }
    hub.commit = 'a'.repeat(40);
    hub.add(REPO, { '../../evil': 'x', 'model.safetensors': weights, 'config.json': config });
    expect(readdirSync(await resolveModel(REPO, options)).sort()).to.deep.equal([
      'config.json',
      'model.safetensors',
    ]);
  });

  describe('tokenizers', () => {
    const rene = JSON.stringify({ model_type: 'rene', vocab_size: 50280 });
    const mamba = JSON.stringify({ vocab_size: 50277, ssm_cfg: { layer: 'Mamba2' } });
    const path = (repo: string) =>
      join(
        home,
        'hub',
        `models--${repo.replace('/', '--')}`,
        'snapshots',
        hub.commit,
        'tokenizer.json',
      );

    it("are the model's own where it has one", async () => {
      hub.add(REPO, { 'config.json': rene, 'tokenizer.json': '{}', 'tokenizer_config.json': '{}' });
      expect(await resolveTokenizer(REPO, options)).to.equal(path(REPO));
      expect(existsSync(path(REPO).replace('tokenizer.json', 'tokenizer_config.json'))).to.equal(
        true,
      );
      const dir = folder();
      writeFileSync(join(dir, 'tokenizer.json'), '{}');
      expect(await resolveTokenizer(dir, options)).to.equal(`${dir}/tokenizer.json`);
      const file = join(dir, 'tokenizer.json');
      expect(await resolveTokenizer(file, options)).to.equal(file);
    });

    it("are the authors' where it has none, which is said", async () => {
      hub.add('allenai/OLMo-1B-hf', { 'tokenizer.json': '{}', 'model.safetensors': weights });
      hub.add('EleutherAI/gpt-neox-20b', { 'tokenizer.json': '{}' });
      const notices: string[] = [];
      const onNotice = (notice: string) => notices.push(notice);
      for (const [json, expected] of [
        [rene, 'allenai/OLMo-1B-hf'],
        [mamba, 'EleutherAI/gpt-neox-20b'],
      ] as const) {
        hub.add(REPO, { 'config.json': json, 'model.safetensors': weights });
        hub.commit = json === rene ? 'c'.repeat(40) : 'd'.repeat(40);
        expect(await resolveTokenizer(REPO, { ...options, onNotice })).to.equal(path(expected));
        expect(notices.at(-1)).to.equal(`${REPO} has no tokenizer; using that of ${expected}`);
        const dir = folder();
        writeFileSync(join(dir, 'config.json'), json);
        expect(await resolveTokenizer(dir, { ...options, onNotice })).to.equal(path(expected));
      }
      expect(hub.sent.get('model.safetensors')).to.equal(undefined);
    });

    it("are known by the owner of an id without a config, and are not of the model's revision", async () => {
      hub.add('allenai/OLMo-1B-hf', { 'tokenizer.json': '{}' });
      hub.add('EleutherAI/gpt-neox-20b', { 'tokenizer.json': '{}' });
      for (const [repo, expected] of [
        ['cartesia-ai/some-model', 'allenai/OLMo-1B-hf'],
        ['state-spaces/some-model', 'EleutherAI/gpt-neox-20b'],
      ] as const) {
        hub.add(repo, { 'pytorch_model.bin': 'weights' });
        expect(await resolveTokenizer(repo, { ...options, revision: 'v1' })).to.equal(
          path(expected),
        );
        expect(hub.requests).to.include(`GET /api/models/${repo}/revision/v1`);
        expect(hub.requests).to.include(`GET /api/models/${expected}/revision/main`);
      }
    });

    it('must fit the model, and be there', async () => {
      const small = await errorOf(TokenizerError, () =>
        resolveTokenizer(golden('tiny-options'), options),
      );
      expect(small.message).to.match(/no tokenizer\.json; name a tokenizer/);
      const dir = folder();
      writeFileSync(join(dir, 'config.json'), rene);
      const gone = await errorOf(TokenizerError, () => resolveTokenizer(dir, options));
      expect(gone.message).to.match(/authors' tokenizer could not be had; name another/);
      await errorOf(TokenizerError, () => resolveTokenizer('/no/where', options));
      const bare = folder();
      await errorOf(TokenizerError, () => resolveTokenizer(bare, options));
    });
  });
});
