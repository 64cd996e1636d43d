// The hub: cache layout, what is fetched, redirects, tokens, offline, tokenizers; on a local server.
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import type { HubOptions } from '../../src/checkpoint/hub.js';
import { hubCacheDir } from '../../src/checkpoint/hub_cache.js';
import { resolveModel, resolveTokenizer } from '../../src/checkpoint/resolve.js';
import { CheckpointError, HubError, TokenizerError } from '../../src/errors.js';
import type { FakeHub } from './fake_hub.js';
import { errorOf, golden, temporaryFolders } from './fixtures.js';
import { config, REPO, weights, withFakeHub } from './hub_suite.js';

describe('hub', () => {
  const folder = temporaryFolders();
  let hub: FakeHub;
  let home: string;
  let options: HubOptions;
  let repoDir: string;

  withFakeHub((suite) => {
    ({ hub, home, options, repoDir } = suite);
  });

  it("downloads a model into Python's cache layout", async () => {
    const dir = await resolveModel(REPO, options);
    expect(dir).to.equal(join(repoDir, 'snapshots', hub.commit));
    expect(readFileSync(join(repoDir, 'refs', 'main'), 'utf8')).to.equal(hub.commit);
    expect(readdirSync(dir).sort()).to.deep.equal(['config.json', 'model.safetensors']);
    for (const name of readdirSync(dir)) {
      expect(lstatSync(join(dir, name)).isSymbolicLink()).to.equal(true);
      expect(readlinkSync(join(dir, name))).to.match(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40,64}$/);
    }
    expect(readdirSync(join(repoDir, 'blobs')).length).to.equal(2);
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

  it('says that the cache cannot be written', async () => {
    const cacheDir = join(home, 'file');
    writeFileSync(cacheDir, '');
    const error = await errorOf(HubError, () => resolveModel(REPO, { ...options, cacheDir }));
    expect(error.message).to.match(/^the cache .*file.* cannot be written: E/);
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
