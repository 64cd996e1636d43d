// Failing downloads: broken and corrupt ones, retries, locks, aborts; with a fake hub.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { errorOf, type FakeHub, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import type { HubOptions } from '../../src/checkpoint/hub.js';
import { resolveModel } from '../../src/checkpoint/resolve.js';
import { HubError } from '../../src/errors.js';
import { config, REPO, weights, withFakeHub } from './hub_suite.js';

describe('downloads', () => {
  const folder = temporaryFolders();
  let hub: FakeHub;
  let home: string;
  let options: HubOptions;
  let repoDir: string;

  withFakeHub((suite) => {
    ({ hub, home, options, repoDir } = suite);
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

  it('resumes a broken download without repeating bytes', async () => {
    hub.fail(/GET .*some-lab.*model\.safetensors$/, { breakAfter: 0 });
    hub.fail(/GET \/some-lab%2Ftiny\/model/, { breakAfter: 100_000 }, { breakAfter: 50_000 });
    await resolveModel(REPO, options);
    expect(hub.sent.get('model.safetensors')).to.equal(weights.length);
  });

  it('retries as long as each try makes progress', async () => {
    const breaks = Array.from({ length: 8 }, () => ({ breakAfter: 20_000 }));
    hub.fail(/GET \/some-lab%2Ftiny\/model/, ...breaks);
    await resolveModel(REPO, options);
    expect(hub.sent.get('model.safetensors')).to.equal(weights.length);
  });

  it('treats a connection without data as broken', async () => {
    process.env.HF_HUB_DOWNLOAD_TIMEOUT = '0.5';
    hub.fail(/GET \/some-lab%2Ftiny\/model/, { stallAfter: 30_000 });
    await resolveModel(REPO, options);
    expect(hub.sent.get('model.safetensors')).to.equal(weights.length);
  });

  it('resumes in a later run, also a download that Python started', async () => {
    const breaks = Array.from({ length: 5 }, () => ({ breakAfter: 0 }));
    hub.fail(/GET \/some-lab%2Ftiny\/model/, { breakAfter: 70_000 }, ...breaks);
    await errorOf(HubError, () => resolveModel(REPO, options));
    const blobs = join(repoDir, 'blobs');
    const [partial = ''] = readdirSync(blobs).filter((name) => name.endsWith('.incomplete'));
    expect(readFileSync(join(blobs, partial)).length).to.equal(70_000);
    const sent = hub.sent.get('model.safetensors') ?? 0;
    await resolveModel(REPO, options);
    expect((hub.sent.get('model.safetensors') ?? 0) - sent).to.equal(weights.length - 70_000);
    expect(readdirSync(blobs).filter((name) => name.endsWith('.incomplete'))).to.deep.equal([]);
  });

  it('restarts if the server does not support resuming', async () => {
    for (const wrong of [{ ignoreRange: true }, { wrongRange: true }] as const) {
      process.env.HF_HOME = folder();
      hub.sent.clear();
      hub.fail(/GET \/some-lab%2Ftiny\/model/, { breakAfter: 1000 }, wrong);
      const dir = await resolveModel(REPO, options);
      expect(readFileSync(join(dir, 'model.safetensors'))).to.deep.equal(weights);
      // Only once: a wrong checksum does not restart it again.
      expect(hub.sent.get('model.safetensors')).to.equal(1000 + weights.length);
    }
    hub.add('some-lab/other', { 'config.json': config, 'model.safetensors': weights });
    hub.fail(/GET \/some-lab%2Fother\/model/, { breakAfter: 1000 }, { status: 416 });
    const other = await resolveModel('some-lab/other', options);
    expect(readFileSync(join(other, 'model.safetensors'))).to.deep.equal(weights);
  });

  it('detects a file that ends early', async () => {
    hub.fail(/GET \/some-lab%2Ftiny\/model/, { truncateTo: 5000 });
    const dir = await resolveModel(REPO, options);
    expect(readFileSync(join(dir, 'model.safetensors'))).to.deep.equal(weights);
    expect(hub.sent.get('model.safetensors')).to.equal(weights.length);
  });

  it('downloads a corrupt file once more, then gives up and keeps none of it', async () => {
    hub.fail(/GET \/some-lab%2Ftiny\/model/, { corrupt: true });
    const dir = await resolveModel(REPO, options);
    expect(readFileSync(join(dir, 'model.safetensors'))).to.deep.equal(weights);
    hub.add('some-lab/bad', { 'config.json': config, 'model.safetensors': weights });
    hub.fail(/GET .*some-lab.*bad.*config\.json/, { corrupt: true }, { corrupt: true });
    const error = await errorOf(HubError, () => resolveModel('some-lab/bad', options));
    expect(error.message).to.match(/does not match the hub's metadata.*two attempts/);
    const bad = join(home, 'hub', 'models--some-lab--bad');
    expect(readdirSync(join(bad, 'blobs'))).to.deep.equal([]);
    expect(existsSync(join(bad, 'snapshots'))).to.equal(false);
  });

  it('replaces a damaged partial file', async () => {
    await errorOf(HubError, async () => {
      hub.fail(
        /GET \/some-lab%2Ftiny\/model/,
        ...Array.from({ length: 5 }, () => ({ status: 500 })),
      );
      await resolveModel(REPO, options);
    });
    const blobs = join(repoDir, 'blobs');
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
      // The rest and, since the checksum is wrong, the whole file. A partial file that is too long is not
      // resumed.
      expect(fetched.length).to.equal(bytes === 3000 ? 2 : 1);
    }
  });

  it('retries after 429 and 500, and waits as long as requested', async () => {
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

  it('downloads once if requested twice at the same time', async () => {
    const dirs = await Promise.all([resolveModel(REPO, options), resolveModel(REPO, options)]);
    expect(dirs[0]).to.equal(dirs[1]);
    expect(hub.sent.get('model.safetensors')).to.equal(weights.length);
    const blobs = readdirSync(join(repoDir, 'blobs'));
    expect(blobs.filter((name) => name.includes('.'))).to.deep.equal([]);
  });

  it("takes over a dead process's lock", async () => {
    hub.fail(/GET \/some-lab%2Ftiny\/model/, ...Array.from({ length: 5 }, () => ({ status: 500 })));
    await errorOf(HubError, () => resolveModel(REPO, options));
    const blobs = join(repoDir, 'blobs');
    const [partial = ''] = readdirSync(blobs).filter((name) => name.endsWith('.incomplete'));
    const lock = join(blobs, `${partial}.lock`);
    writeFileSync(lock, '');
    utimesSync(lock, new Date(), new Date(Date.now() - 60_000));
    await resolveModel(REPO, options);
    expect(existsSync(lock)).to.equal(false);
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
});
