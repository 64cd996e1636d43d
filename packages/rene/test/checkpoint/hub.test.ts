// The hub: cache layout, downloaded files, redirects, tokens, offline use, tokenizers; with a fake hub.
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { errorOf, type FakeHub, golden, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import type { HubOptions } from '../../src/checkpoint/hub.js';
import { isNearly } from '../../src/checkpoint/model_names.js';
import { openCheckpoint } from '../../src/checkpoint/open_checkpoint.js';
import { resolveModel, resolveTokenizer } from '../../src/checkpoint/resolve.js';
import { CheckpointError, HubError, ReneError, TokenizerError } from '../../src/errors.js';
import { adapterFolder } from '../../src/lora/adapter_folder.js';
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
    // With compression, a file would have neither its size nor its ranges.
    expect([...hub.encodings]).to.deep.equal(['identity']);
    const checkpoint = await openCheckpoint(dir);
    expect(checkpoint.names.length).to.be.above(10);
    await checkpoint.close();
  });

  it('downloads nothing twice, and only changed files', async () => {
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

  it('uses a local folder unchanged, and refuses a name that is neither a folder nor an id', async () => {
    expect(await resolveModel(home, options)).to.equal(home);
    const paths = [
      '/no/where',
      './no-such-folder',
      'a/b/c',
      '../no-such-folder',
      'a--b/c',
      '',
      'model.safetensors',
      'no-such-file.JSON',
    ];
    for (const name of paths) {
      const error = await errorOf(CheckpointError, () => resolveModel(name, options));
      expect(error.message).to.match(/no such folder.*hub id/);
    }
    expect(hub.requests).to.deep.equal([]);
  });

  it('explains 401, 403 and 404 at once', async () => {
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

  it('sends the token to the hub, never to the storage server', async () => {
    hub.requiredToken = 'hf_secret';
    await errorOf(HubError, () => resolveModel(REPO, options));
    process.env.HF_TOKEN = 'hf_secret';
    await resolveModel(REPO, options);
    expect([...hub.tokens.hub]).to.deep.equal(['Bearer hf_secret']);
    expect([...hub.tokens.storage]).to.deep.equal([]);
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
    expect(error.message).to.match(/Invalid revision/);
  });

  it('works without the hub if requested or if the hub is unreachable', async () => {
    const offline = await errorOf(HubError, () =>
      resolveModel(REPO, { ...options, offline: true }),
    );
    expect(offline.message).to.match(/not complete in the cache.*HF_HUB_OFFLINE/);
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

  it('reports an unwritable cache', async () => {
    const cacheDir = join(home, 'file');
    writeFileSync(cacheDir, '');
    const error = await errorOf(HubError, () => resolveModel(REPO, { ...options, cacheDir }));
    expect(error.message).to.match(/^the cache .*file.* cannot be written: E/);
  });

  describe('shards', () => {
    const SHARDS = [
      'model-00001-of-00003.safetensors',
      'model.safetensors-00002-of-00003.safetensors',
      'parts/größte, 3 + 1.safetensors',
      'part #3?of=3 50%25.safetensors',
    ];
    const INDEX = 'model.safetensors.index.json';
    const indexOf = (names: readonly string[]) =>
      JSON.stringify({ weight_map: Object.fromEntries(names.map((name, i) => [`${i}`, name])) });

    it('downloads the shards of the index, and reports missing ones', async () => {
      const files = Object.fromEntries(SHARDS.map((name) => [name, name]));
      const others = {
        'pytorch_model.bin': 'not wanted',
        'model-00002-of-00003.safetensors': 'no',
      };
      const shared = { 'config.json': config, 'tokenizer.json': '{}', [INDEX]: indexOf(SHARDS) };
      hub.add(REPO, { ...shared, ...files, ...others });
      const totals = new Set<number>();
      const onProgress: HubOptions['onProgress'] = ({ totalBytes }) => totals.add(totalBytes);
      const dir = await resolveModel(REPO, { ...options, onProgress });
      expect(totals.size).to.equal(1);
      const flat = SHARDS.filter((name) => !name.includes('/'));
      const wanted = ['config.json', ...flat, INDEX, 'parts', 'tokenizer.json'];
      expect(readdirSync(dir).sort()).to.deep.equal(wanted.toSorted());
      for (const name of SHARDS) expect(readFileSync(join(dir, name), 'utf8')).to.equal(name);
      const before = hub.requests.length;
      expect(await resolveModel(REPO, options)).to.equal(dir);
      expect(hub.requests.length - before).to.equal(1);
      const offline = { ...options, offline: true };
      expect(await resolveModel(REPO, offline)).to.equal(dir);
      for (const name of SHARDS) {
        rmSync(join(dir, name));
        await errorOf(HubError, () => resolveModel(REPO, offline));
        await resolveModel(REPO, options);
      }
    });

    it('refuses shards in other folders, and missing ones', async () => {
      for (const [name, message] of [
        ['../../evil.safetensors', /expected the name of a file in the same folder/],
        ['/etc/passwd', /expected the name of a file in the same folder/],
        ['a\\..\\b.safetensors', /expected the name of a file in the same folder/],
        ['C:evil', /expected the name of a file in the same folder/],
        ['', /expected the name of a file in the same folder/],
        ['parts//x', /expected the name of a file in the same folder/],
        ['absent.safetensors', /names absent\.safetensors, which the repository lacks/],
      ] as const) {
        hub.add(REPO, { 'config.json': config, [INDEX]: indexOf([name]), [name || 'x']: 'y' });
        if (name.startsWith('absent')) hub.repos.get(REPO)?.files.delete(name);
        const error = await errorOf(ReneError, () =>
          resolveModel(REPO, { ...options, cacheDir: folder() }),
        );
        expect(error.message).to.match(message);
      }
    });
  });

  it('uses pytorch_model.bin if there is nothing better', async () => {
    hub.add(REPO, { 'config.json': config, 'pytorch_model.bin': 'weights' });
    expect(readdirSync(await resolveModel(REPO, options))).to.include('pytorch_model.bin');
  });

  it('does not trust paths from a hub', async () => {
    hub.commit = '../../..';
    await errorOf(HubError, () => resolveModel(REPO, options));
    hub.commit = 'a'.repeat(40);
    hub.add(REPO, { '../../evil': 'x', 'model.safetensors': weights, 'config.json': config });
    hub.fail(/HEAD/, { status: 200, headers: { 'x-linked-etag': '"../../../evil"' } });
    expect(readdirSync(await resolveModel(REPO, options)).sort()).to.deep.equal([
      'config.json',
      'model.safetensors',
    ]);
    expect(readdirSync(join(repoDir, 'blobs')).join()).to.match(/^[0-9a-f]{64},[0-9a-f]{64}$/);
  });

  it('reports that a name is a file, without a request to a hub', async () => {
    const file = join(home, 'adapter');
    writeFileSync(file, '');
    for (const [resolve, what] of [
      [resolveModel, 'a model'],
      [adapterFolder, 'a LoRA adapter'],
    ] as const) {
      const { message } = await errorOf(CheckpointError, () => resolve(file, options));
      expect(message).to.equal(`${file}: expected the folder of ${what}, found a file`);
    }
    expect(hub.requests).to.deep.equal([]);
  });

  it('recognises a misspelt name', () => {
    for (const name of [
      'rene-tiny',
      'renetiny',
      'Rene-Tiny',
      'rene_tinny',
      'ren-tiny',
      'rene-tinier',
    ]) {
      expect(isNearly(name, 'rene-tiny'), name).to.equal(name !== 'rene-tinier');
    }
    for (const name of ['gpt2', 'tiny', 'lab/rene-tiny', 'rene-1.3b', 'mini-tiny', '']) {
      expect(isNearly(name, 'rene-tiny'), name).to.equal(false);
    }
  });

  it('accepts ids without an owner, and reports that there was no such folder either', async () => {
    hub.add('gpt2', { 'tokenizer.json': '{}', 'model.safetensors': weights });
    const dir = join(home, 'hub', 'models--gpt2', 'snapshots', hub.commit);
    expect(await resolveModel('gpt2', options)).to.equal(dir);
    expect(await resolveTokenizer('gpt2', options)).to.equal(`${dir}/tokenizer.json`);
    for (const [resolve, kind] of [
      [resolveModel, 'folder'],
      [resolveTokenizer, 'file or folder'],
      [adapterFolder, 'folder'],
    ] as const) {
      const error = await errorOf(HubError, () => resolve('rene-tny', options));
      const hint = "(did you mean 'rene-tiny'?)";
      expect(error.message).to.contain(`rene-tny: no such ${kind} ${hint}, and the hub says: `);
      expect(error.status).to.equal(404);
      for (const unreachable of [{ endpoint: 'http://127.0.0.1:1' }, { offline: true }]) {
        const { message } = await errorOf(HubError, () =>
          resolve('out/run1', { ...options, ...unreachable }),
        );
        expect(message).to.contain(`out/run1: no such ${kind}, and as an id of the hub: `);
        expect(message).to.match(/cannot be reached|offline mode is on/);
      }
    }
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

    it("are the model's own if it has one", async () => {
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

    it("are the authors' if the model has none, with a notice", async () => {
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

    it("are known by the owner of an id without a config, and ignore the model's revision", async () => {
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

    it('must fit the model, and exist', async () => {
      const small = await errorOf(TokenizerError, () =>
        resolveTokenizer(golden('tiny-options'), options),
      );
      expect(small.message).to.match(/no tokenizer\.json; specify a tokenizer/);
      const dir = folder();
      writeFileSync(join(dir, 'config.json'), rene);
      const gone = await errorOf(TokenizerError, () => resolveTokenizer(dir, options));
      expect(gone.message).to.match(
        /authors' tokenizer cannot be loaded \(.*\); specify a tokenizer/,
      );
      await errorOf(TokenizerError, () => resolveTokenizer('/no/where', options));
      const bare = folder();
      await errorOf(TokenizerError, () => resolveTokenizer(bare, options));
    });
  });
});
